#include "gavel/aggregation.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "gavel/error.hpp"

using namespace gavel;

namespace {

Verdict verdict(double p, Decision decision = Decision::abstain) {
  return {p, std::nullopt, decision};
}

}  // namespace

TEST_CASE("verdicts become one score", "[core]") {
  const std::vector<Verdict> team{verdict(0.9, Decision::correct), verdict(0.2, Decision::wrong),
                                  verdict(0.5, Decision::abstain)};
  CHECK(aggregate(Aggregation::mean_probability, team) == Approx(1.6 / 3));
  CHECK(aggregate(Aggregation::mean_probability, team, {2, 1, 1}) == Approx(2.5 / 4));
  const double mean = (std::log(9.0) - std::log(4.0)) / 3;
  CHECK(aggregate(Aggregation::mean_logit, team) == Approx(1 / (1 + std::exp(-mean))));
  CHECK(aggregate(Aggregation::vote, team) == Approx(0.5));
  CHECK(aggregate(Aggregation::vote, team, {0, 1, 1}) == Approx(0.25));
  CHECK(aggregate(Aggregation::minimum, team) == 0.2);
  CHECK(aggregate(Aggregation::maximum, team) == 0.9);
  CHECK(aggregate(Aggregation::minimum, team, {1, 0, 1}) == 0.5);
  CHECK(aggregate(Aggregation::maximum, team, {0, 1, 1}) == 0.5);
}

TEST_CASE("stacked judges add weighted log-odds", "[core]") {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const Stacking stacking{.bias = -0.5, .logprob_weight = 2, .logprob_mean = -0.75};
  const std::vector<Verdict> team{{0.9, 3.0, Decision::correct}, verdict(0.2)};  // the second knows no log-odds
  const double judges = -0.5 + 0.25 * 3.0 + 1.5 * std::log(0.2 / 0.8);
  CHECK(aggregate(Aggregation::stacked, team, {0.25, 1.5}, stacking) == Approx(sigmoid(judges)));
  CHECK(aggregate(Aggregation::stacked, team, {0.25, 1.5}, stacking, -0.75) == Approx(sigmoid(judges)));
  CHECK(aggregate(Aggregation::stacked, team, {0.25, 1.5}, stacking, -0.5) == Approx(sigmoid(judges + 0.5)));
  CHECK(aggregate(Aggregation::stacked, team, {0.25, 1.5}, stacking, NAN) == Approx(sigmoid(judges)));
  CHECK(aggregate(Aggregation::stacked, {{0.9, HUGE_VAL, Decision::correct}}, {1}) == Approx(0.9));
  CHECK(aggregate(Aggregation::stacked, {verdict(1), verdict(0)}, {1, 1}) == Approx(0.5));
  const std::vector<double> weights{1, 1};
  CHECK_THROWS_WITH(aggregate(Aggregation::stacked, team), ContainsSubstring("weights"));
  CHECK_THROWS_WITH(aggregate(Aggregation::stacked, team, {1}), ContainsSubstring("1 weights for 2 judges"));
  CHECK_THROWS_WITH(aggregate(Aggregation::stacked, team, {1, -1}), ContainsSubstring("weight 1 is -1"));
  CHECK_THROWS_WITH(aggregate(Aggregation::stacked, team, weights, {.bias = NAN}), ContainsSubstring("bias nan"));
  CHECK_THROWS_WITH(aggregate(Aggregation::stacked, team, weights, {.logprob_weight = -1}),
                    ContainsSubstring("logprob_weight -1"));
  CHECK_THROWS_WITH(aggregate(Aggregation::stacked, team, weights, {.logprob_mean = HUGE_VAL}),
                    ContainsSubstring("logprob_mean inf"));
}

TEST_CASE("certain judges and huge weights leave the score in [0, 1]", "[core]") {
  const double most = std::numeric_limits<double>::max();
  CHECK(aggregate(Aggregation::mean_logit, {verdict(1), verdict(0)}) == Approx(0.5));
  CHECK(aggregate(Aggregation::mean_logit, {verdict(1)}) <= 1);
  CHECK(aggregate(Aggregation::mean_probability, {verdict(1), verdict(0)}, {most, most}) == Approx(0.5));
  for (int judges = 1; judges < 50; ++judges)
    CHECK(aggregate(Aggregation::mean_probability,
                    std::vector<Verdict>(static_cast<std::size_t>(judges), verdict(1))) <= 1);
}

TEST_CASE("verdicts and weights that mean nothing are refused", "[core]") {
  const auto refuses = [](const std::vector<Verdict>& verdicts, const std::vector<double>& weights) {
    try {
      static_cast<void>(aggregate(Aggregation::mean_probability, verdicts, weights));
    } catch (const Error& error) {
      return error.code() == ErrorCode::invalid_argument;
    }
    return false;
  };
  const std::vector<Verdict> two(2);
  CHECK(refuses({}, {}));
  CHECK(refuses(two, {1}));
  CHECK(refuses(two, {1, -1}));
  CHECK(refuses(two, {0, 0}));
  CHECK(refuses(two, {1, NAN}));
  CHECK(refuses(two, {1, HUGE_VAL}));
  CHECK(refuses({verdict(NAN)}, {}));
  CHECK(refuses({verdict(1.1)}, {}));
  CHECK(refuses({verdict(-0.1)}, {}));
}

TEST_CASE("aggregations have names", "[core]") {
  for (const auto how : {Aggregation::mean_probability, Aggregation::mean_logit, Aggregation::vote,
                         Aggregation::minimum, Aggregation::maximum, Aggregation::stacked})
    CHECK(parse_aggregation(name(how)) == how);
  CHECK_THROWS_WITH(parse_aggregation("median"), ContainsSubstring("median") && ContainsSubstring("mean_logit"));
}
