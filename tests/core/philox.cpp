#include "philox.hpp"

#include <cmath>
#include <set>
#include <vector>

#include "catch.hpp"
#include "gavel/sampling.hpp"

using gavel::philox;
using gavel::uniform;
using Words = std::array<std::uint32_t, 4>;

TEST_CASE("Philox4x32-10 gives the published known answers", "[core]") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform draws fill [0, 1) evenly along every coordinate", "[core]") {
  constexpr int draws = 100000, bins = 100;
  for (int coordinate = 0; coordinate < 3; ++coordinate) {
    std::vector<int> count(bins);
    double sum = 0, lagged = 0, last = 0.5;
    for (std::uint32_t i = 0; i < draws; ++i) {
      const double u = uniform(coordinate == 0 ? i : 7, coordinate == 1 ? i : 3, coordinate == 2 ? i : 11);
      REQUIRE(u >= 0);
      REQUIRE(u < 1);
      ++count[static_cast<std::size_t>(u * bins)];
      sum += u;
      lagged += (u - 0.5) * (last - 0.5);
      last = u;
    }
    double chi_square = 0;
    for (const int n : count) chi_square += std::pow(n - draws / bins, 2) / (draws / bins);
    CHECK(chi_square < 160);  // 99 degrees of freedom: 1 in 10,000
    CHECK(sum / draws == Approx(0.5).margin(0.005));
    CHECK(std::abs(lagged / draws) < 0.0015);
  }
}

TEST_CASE("draws of neighbouring seeds and candidates have nothing in common", "[core]") {
  std::set<double> seen;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (std::uint32_t candidate = 0; candidate < 20; ++candidate)
      for (std::uint32_t position = 0; position < 20; ++position) seen.insert(uniform(seed, candidate, position));
  CHECK(seen.size() == 8000);
  CHECK(uniform(1, 0, 0) != uniform(1ULL << 32, 0, 0));
}
