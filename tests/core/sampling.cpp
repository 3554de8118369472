#include "gavel/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "catch.hpp"
#include "gavel/error.hpp"

using namespace gavel;

namespace {

/// The whole vocabulary sorted, in double: the probabilities that each token is drawn with.
std::vector<double> reference(const std::vector<float>& logits, const std::vector<std::int32_t>& seen,
                              const std::vector<std::int32_t>& present, const SamplingOptions& options, double top_p) {
  const std::size_t n = logits.size();
  std::vector<double> x(logits.begin(), logits.end());
  for (double& value : x)
    if (!std::isfinite(value)) value = -HUGE_VAL;
  for (const std::int32_t token : seen) {
    double& value = x[static_cast<std::size_t>(token)];
    value = value < 0 ? value * options.repetition_penalty : value / options.repetition_penalty;
  }
  for (const std::int32_t token : present) x[static_cast<std::size_t>(token)] -= options.presence_penalty;
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  // As floats, which is what the sampler compares.
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return static_cast<float>(x[a]) > static_cast<float>(x[b]); });
  std::vector<double> p(n);
  if (options.temperature == 0) {
    p[order[0]] = 1;
    return p;
  }
  for (std::size_t i = 0; i < n; ++i) p[i] = std::exp((x[i] - x[order[0]]) / options.temperature);
  std::size_t kept = n;
  if (options.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options.top_k));
  if (top_p < 1) {
    double total = 0, mass = 0;
    for (std::size_t i = 0; i < kept; ++i) total += p[order[i]];
    std::size_t i = 0;
    while (i < kept && mass < top_p * total) mass += p[order[i++]];
    kept = std::max<std::size_t>(i, 1);
  }
  for (std::size_t i = kept; i < n; ++i) p[order[i]] = 0;
  double total = 0;
  for (double& value : p) {
    if (value < options.min_p) value = 0;
    total += value;
  }
  for (double& value : p) value /= total;
  return p;
}

std::int32_t inverse(const std::vector<double>& p, double u) {
  double sum = 0;
  std::int32_t last = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    last = static_cast<std::int32_t>(i);
    sum += p[i];
    if (sum > u) break;
  }
  return last;
}

double log_softmax(const std::vector<float>& logits, std::int32_t token) {
  double sum = 0;
  for (const float logit : logits)
    if (std::isfinite(logit)) sum += std::exp(static_cast<double>(logit));
  return logits[static_cast<std::size_t>(token)] - std::log(sum);
}

std::vector<std::int32_t> some_tokens(std::mt19937& random, std::size_t n) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < n; ++i)
    if (random() % 5 == 0) tokens.push_back(static_cast<std::int32_t>(i));
  return tokens;
}

Draw draw_one(const std::vector<float>& logits, const SamplingOptions& options = {}) {
  return Sampler(options).draw(logits, {}, {}, 0, 0);
}

}  // namespace

TEST_CASE("the sampler draws what a full sort would, whatever the options", "[core]") {
  std::mt19937 random(42);
  int near_border = 0;
  const auto pick = [&](auto... values) {
    const std::array list{values...};
    return list[random() % list.size()];
  };
  for (int round = 0; round < 6000; ++round) {
    const std::size_t n = pick(1U, 2U, 17U, 256U, 300U, 1000U, 3000U);
    std::vector<float> logits(n);
    std::normal_distribution<float> normal(pick(0.0F, 10.0F, -20.0F), pick(0.1F, 1.0F, 3.0F, 8.0F));
    const bool ties = random() % 4 == 0;
    for (float& logit : logits) logit = ties ? std::round(normal(random)) : normal(random);
    if (random() % 8 == 0)
      for (float& logit : logits)
        if (&logit != &logits[0] && random() % 10 == 0) logit = pick(NAN, HUGE_VALF, -HUGE_VALF);

    SamplingOptions options;
    options.temperature = pick(0.0F, 0.2F, 0.8F, 1.0F, 1.5F);
    options.top_k = pick(0, 0, 1, 5, 50, 2000);
    options.top_p = pick(1.0F, 0.95F, 0.5F, 0.01F, 0.9999F);
    options.min_p = pick(0.0F, 0.0F, 0.05F, 0.5F, 1e-6F);
    options.repetition_penalty = pick(1.0F, 1.0F, 1.25F, 0.5F);
    options.presence_penalty = pick(0.0F, 0.0F, 0.5F, -2.0F);
    options.seed = random();
    const auto seen = some_tokens(random, n), present = some_tokens(random, n);

    Sampler sampler(options);
    for (std::uint32_t position = 0; position < 3; ++position) {
      const Draw draw = sampler.draw(logits, seen, present, 5, position);
      const double u = uniform(options.seed, 5, position);
      const auto expected = reference(logits, seen, present, options, options.top_p);
      REQUIRE(draw.logprob == Approx(log_softmax(logits, draw.token)).margin(1e-5));
      if (draw.token == inverse(expected, u)) continue;
      // Rounding may decide where the draw, or the mass, lies on the border between two tokens; nowhere else.
      ++near_border;
      bool explained = false;
      for (const double du : {-1e-5, 0.0, 1e-5})
        for (const double dp : {-1e-6, 0.0, 1e-6}) {
          const double top_p = options.top_p < 1 ? std::min(options.top_p + dp, 1.0) : 1.0;
          explained = explained || draw.token == inverse(reference(logits, seen, present, options, top_p), u + du);
        }
      INFO("round " << round << " n " << n << " T " << options.temperature << " k " << options.top_k << " p "
                    << options.top_p << " min_p " << options.min_p << " token " << draw.token << " expected "
                    << inverse(expected, u));
      REQUIRE(explained);
    }
  }
  CHECK(near_border < 20);
}

TEST_CASE("the sampler draws what a full sort would from a large vocabulary", "[core]") {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(151936);
  for (int round = 0; round < 4; ++round) {
    for (float& logit : logits) logit = normal(random);
    for (int i = 0; i < 30; ++i) logits[random() % logits.size()] += static_cast<float>(10 + random() % 5);
    for (const int top_k : {0, 50, 2000})
      for (const float top_p : {1.0F, 0.95F}) {
        SamplingOptions options;
        options.top_k = top_k;
        options.top_p = top_p;
        Sampler sampler(options);
        const auto expected = reference(logits, {}, {}, options, top_p);
        for (std::uint32_t position = 0; position < 20; ++position) {
          const Draw draw = sampler.draw(logits, {}, {}, 1, position);
          const double u = uniform(0, 1, position);
          CHECK((draw.token == inverse(expected, u) || draw.token == inverse(expected, u + 1e-5) ||
                 draw.token == inverse(expected, u - 1e-5)));
        }
      }
  }
}

TEST_CASE("tokens are drawn as often as they are likely", "[core]") {
  const std::vector<float> logits{1.0F, 2.0F, -1.0F, 0.5F, 2.0F, -8.0F};
  SamplingOptions options;
  options.temperature = 0.7F;
  options.top_p = GENERATE(1.0F, 0.9F);
  Sampler sampler(options);
  const auto expected = reference(logits, {}, {}, options, options.top_p);
  constexpr std::uint32_t draws = 50000;
  std::vector<int> count(logits.size());
  for (std::uint32_t i = 0; i < draws; ++i)
    ++count[static_cast<std::size_t>(sampler.draw(logits, {}, {}, i % 100, i / 100).token)];
  for (std::size_t i = 0; i < logits.size(); ++i)
    CHECK(count[i] / static_cast<double>(draws) == Approx(expected[i]).margin(0.01));
}

TEST_CASE("equal logits go by token id", "[core]") {
  const std::vector<float> logits(1000, 3.0F);
  SamplingOptions options;
  options.temperature = 0;
  CHECK(draw_one(logits, options).token == 0);
  options.temperature = 1;
  options.top_p = 1;
  options.top_k = 4;
  Sampler sampler(options);
  std::vector<int> count(1000);
  for (std::uint32_t i = 0; i < 1000; ++i) ++count[static_cast<std::size_t>(sampler.draw(logits, {}, {}, 0, i).token)];
  CHECK(count[0] + count[1] + count[2] + count[3] == 1000);
  CHECK(*std::min_element(count.begin(), count.begin() + 4) > 200);
}

TEST_CASE("a draw does not depend on what was drawn before", "[core]") {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(2000), other(700);
  for (float& logit : logits) logit = normal(random);
  for (float& logit : other) logit = normal(random);
  const SamplingOptions options;
  Sampler used(options);
  for (std::uint32_t i = 0; i < 50; ++i) {
    static_cast<void>(used.draw(other, {}, {}, 9, i));
    const Draw a = used.draw(logits, {}, {}, 2, i), b = Sampler(options).draw(logits, {}, {}, 2, i);
    CHECK(a.token == b.token);
    CHECK(a.logprob == b.logprob);
  }
}

TEST_CASE("logits that are not finite are never drawn", "[core]") {
  SamplingOptions options;
  options.temperature = GENERATE(0.0F, 1.0F);
  options.top_p = GENERATE(1.0F, 0.5F);
  const Draw draw = draw_one({NAN, -HUGE_VALF, HUGE_VALF, -5.0F, NAN}, options);
  CHECK(draw.token == 3);
  CHECK(draw.logprob == 0);
  for (const std::vector<float>& broken :
       {std::vector<float>{}, std::vector<float>{NAN, NAN}, std::vector<float>(300, -HUGE_VALF)})
    CHECK_THROWS_AS(draw_one(broken, options), Error);
}

TEST_CASE("extreme numbers draw a token all the same", "[core]") {
  constexpr float most = std::numeric_limits<float>::max();
  const std::vector<float> logits{-most, 0, most, 1};
  SamplingOptions options;
  options.top_p = GENERATE(0.5F, 1.0F);
  for (const float temperature : {1e-45F, 1e-38F, 1.0F, most}) {
    options.temperature = temperature;
    const Draw draw = draw_one(logits, options);
    CHECK(draw.token >= 0);
    if (temperature <= 1) CHECK(draw.token == 2);
  }
  options.temperature = 1;
  options.repetition_penalty = 1e-38F;
  const std::vector<std::int32_t> seen{-1, 3, 99};
  CHECK(std::isfinite(Sampler(options).draw(std::vector<float>{1, 2, 3, 4}, seen, seen, 0, 0).logprob));
}

TEST_CASE("options out of range are named with value and range", "[core]") {
  const auto message = [](auto member, auto value) -> std::string {
    SamplingOptions options;
    options.*member = value;
    try {
      validate(options);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      return error.what();
    }
    return "";
  };
  using O = SamplingOptions;
  CHECK(message(&O::temperature, -1.0F) == "temperature is -1, expected 0 (greedy) or more");
  CHECK(message(&O::temperature, NAN).find("temperature is nan") == 0);
  CHECK_FALSE(message(&O::temperature, HUGE_VALF).empty());
  CHECK_FALSE(message(&O::top_k, -1).empty());
  for (const float value : {0.0F, -0.1F, 1.1F, NAN}) CHECK_FALSE(message(&O::top_p, value).empty());
  for (const float value : {1.0F, -0.1F, NAN}) CHECK_FALSE(message(&O::min_p, value).empty());
  for (const float value : {0.0F, -1.0F, HUGE_VALF, NAN}) CHECK_FALSE(message(&O::repetition_penalty, value).empty());
  for (const float value : {2.1F, -2.1F, NAN}) CHECK_FALSE(message(&O::presence_penalty, value).empty());
  CHECK_NOTHROW(validate({}));
  SamplingOptions bad;
  bad.top_p = 0;
  CHECK_THROWS_AS(Sampler(bad), Error);
}
