#include "row.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "catch.hpp"

TEST_CASE("row kernels of every instruction set agree with the plain arithmetic", "[core]") {
  std::mt19937 random(1);
  for (const char* name : {"generic", "avx2", "avx512"}) {
    const gavel::RowKernels* kernels = gavel::row_kernels(name);
    if (kernels == nullptr) continue;
    INFO(name);
    for (const std::size_t n : {1U, 3U, 15U, 16U, 255U, 256U, 257U, 1000U, 5000U}) {
      std::vector<float> x(n), maxima(gavel::row_blocks(n)), sums(maxima.size()), weights(n + 1, 42.0F);
      std::normal_distribution<float> normal(0, 5);
      for (float& value : x) value = normal(random);
      CHECK(kernels->block_maxima(x.data(), n, maxima.data()));
      const float max = *std::max_element(x.begin(), x.end());
      CHECK(*std::max_element(maxima.begin(), maxima.end()) == max);
      for (const float scale : {1.0F, 1.25F, 0.1F, 10.0F, 1e-38F}) {
        kernels->block_sums(x.data(), n, max, scale, sums.data());
        kernels->weights(x.data(), n, max, scale, weights.data());
        for (std::size_t block = 0; block < sums.size(); ++block) {
          double sum = 0;
          float most = -HUGE_VALF;
          for (std::size_t i = block * gavel::row_block; i < std::min(n, (block + 1) * gavel::row_block); ++i) {
            const double w = std::exp(static_cast<double>((x[i] - max) * scale));
            CHECK(weights[i] == Approx(w).epsilon(1e-6).margin(1e-37));
            sum += w;
            most = std::max(most, x[i]);
          }
          CHECK(sums[block] == Approx(sum).epsilon(1e-6).margin(1e-36));
          CHECK(maxima[block] == most);
        }
        CHECK(weights[n] == 42.0F);
      }
    }
  }
}

TEST_CASE("row kernels tell of what is not finite", "[core]") {
  for (const char* name : {"generic", "avx2", "avx512"}) {
    const gavel::RowKernels* kernels = gavel::row_kernels(name);
    if (kernels == nullptr) continue;
    for (const float bad : {NAN, HUGE_VALF, -HUGE_VALF})
      for (const std::size_t where : {0U, 100U, 256U, 299U}) {
        std::vector<float> x(300, -1.0F), maxima(2);
        x[where] = bad;
        CHECK_FALSE(kernels->block_maxima(x.data(), x.size(), maxima.data()));
        if (bad != HUGE_VALF) CHECK(maxima == std::vector<float>{-1, -1});
      }
    const std::vector<float> masked{-HUGE_VALF, 0};
    std::vector<float> weights(2);
    kernels->weights(masked.data(), 2, 0, 1, weights.data());
    CHECK(weights == std::vector<float>{0, 1});
  }
}
