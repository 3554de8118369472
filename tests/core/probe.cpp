#include "probe.hpp"

#include <cmath>

#include "catch.hpp"

using gavel::ProbeScore;
using gavel::ProbeSpec;
using Pooling = ProbeSpec::Pooling;

namespace {

/// Five tokens of two numbers, after one layer.
const std::vector<std::vector<float>> tokens{{1, 2}, {3, -1}, {0, 4}, {-2, 0.5F}, {6, 1}};

ProbeSpec::Head head(Pooling pooling, std::vector<float> query = {}) {
  ProbeSpec::Head made;
  made.terms = {{0, pooling, {0.5F, -1}, std::move(query)}};
  made.bias = 0.25;
  return made;
}

float logit(const ProbeSpec::Head& probe) {
  ProbeScore score(probe);
  for (const auto& token : tokens) score.add(token, 0, 1);
  return score.logit();
}

}  // namespace

// The dots of (0.5, -1) with the tokens: -1.5, 2.5, -4, -1.5, 2.
TEST_CASE("a probe pools a candidate's tokens", "[core]") {
  REQUIRE(logit(head(Pooling::mean)) == Approx(0.25 + (-1.5 + 2.5 - 4 - 1.5 + 2) / 5));
  REQUIRE(logit(head(Pooling::last)) == Approx(0.25 + 2));
  REQUIRE(logit(head(Pooling::tail)) == Approx(0.25 + (-1.5 + 2) / 2));  // a quarter of five, rounded up
  const double e0 = std::exp(0.2), e1 = std::exp(-0.1), e2 = std::exp(0.4), e3 = std::exp(0.05), e4 = std::exp(0.1);
  REQUIRE(logit(head(Pooling::attention, {0, 0.1F})) ==
          Approx(0.25 + (-1.5 * e0 + 2.5 * e1 - 4 * e2 - 1.5 * e3 + 2 * e4) / (e0 + e1 + e2 + e3 + e4)));
}

TEST_CASE("attention whose scores are large is finite", "[core]") {
  REQUIRE(logit(head(Pooling::attention, {1000, 0})) == Approx(0.25 + 2));     // the last token's score is 6000
  REQUIRE(logit(head(Pooling::attention, {-1000, 0})) == Approx(0.25 - 1.5));  // the fourth's is 2000
}

TEST_CASE("terms add up, each by its layer and row", "[core]") {
  ProbeSpec::Head two = head(Pooling::mean);
  two.terms.push_back({1, Pooling::last, {1, 1}, {}});
  // [layers][rows][hidden] of two candidates; ours is row 1.
  const std::vector<float> first{9, 9, 1, 2, 9, 9, 10, 20}, second{9, 9, 3, 4, 9, 9, 30, 40};
  ProbeScore score(two);
  score.add(first, 1, 2);
  score.add(second, 1, 2);
  REQUIRE(score.tokens() == 2);
  REQUIRE(score.logit() == Approx(0.25 + (0.5 * 4 - 6) / 2 + 70));
}

TEST_CASE("sums stand for tokens where only means are taken", "[core]") {
  REQUIRE(gavel::sums_suffice(head(Pooling::mean)));
  REQUIRE_FALSE(gavel::sums_suffice(head(Pooling::tail)));
  const ProbeSpec::Head probe = head(Pooling::mean);
  ProbeScore score(probe);
  score.add(std::vector<float>{8, 6.5F}, 0, 1, 5);
  REQUIRE(score.logit() == Approx(logit(probe)));
}
