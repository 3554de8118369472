#include "gavel/aggregation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "gavel/calibration.hpp"
#include "gavel/error.hpp"

namespace gavel {
namespace {

constexpr std::array<std::pair<std::string_view, Aggregation>, 6> known{{
    {"mean_probability", Aggregation::mean_probability},
    {"mean_logit", Aggregation::mean_logit},
    {"vote", Aggregation::vote},
    {"minimum", Aggregation::minimum},
    {"maximum", Aggregation::maximum},
    {"stacked", Aggregation::stacked},
}};

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what);
}

bool weighs(double weight) {
  return weight >= 0 && std::isfinite(weight);
}

/// The greatest of the weights, which are one per judge.
double checked(const std::vector<double>& weights, std::size_t judges) {
  if (weights.size() != judges)
    refuse(fmt::format("{} weights for {} judges; give one for each, or none", weights.size(), judges));
  for (std::size_t i = 0; i < judges; ++i)
    if (!weighs(weights[i]))
      refuse(fmt::format("weight {} is {}, expected a finite number of 0 or more", i, weights[i]));
  const double most = *std::max_element(weights.begin(), weights.end());
  if (most == 0) refuse("all weights are 0; give at least one judge a say");
  return most;
}

/// Weights that sum to 1.
std::vector<double> shares(const std::vector<double>& weights, std::size_t judges) {
  if (weights.empty()) return std::vector<double>(judges, 1.0 / static_cast<double>(judges));
  const double most = checked(weights, judges);
  double sum = 0;
  std::vector<double> result = weights;
  for (double& weight : result) sum += weight /= most;  // first, so that the sum cannot overflow
  for (double& weight : result) weight /= sum;
  return result;
}

/// A judge that is certain counts as 1 - 1e-12, so that it can be outvoted and no infinity arises.
double log_odds(double p) {
  constexpr double margin = 1e-12;
  p = std::clamp(p, margin, 1 - margin);
  return std::log(p) - std::log1p(-p);
}

double vote(Decision decision) {
  switch (decision) {
    case Decision::correct: return 1;
    case Decision::wrong: return 0;
    case Decision::abstain: return 0.5;
  }
  return 0.5;
}

void check(const std::vector<Verdict>& verdicts) {
  if (verdicts.empty()) refuse("no verdict to aggregate; ask at least one judge");
  for (std::size_t i = 0; i < verdicts.size(); ++i)
    if (const double p = verdicts[i].p_correct; !(p >= 0 && p <= 1))
      refuse(fmt::format("p_correct of judge {} is {}, expected 0 to 1", i, p));
}

double stack(const std::vector<Verdict>& verdicts, const std::vector<double>& weights, const Stacking& stacking,
             std::optional<double> mean_logprob) {
  if (weights.empty()) refuse("stacked judges need their weights; give one for each, as `gavel team fit` finds them");
  checked(weights, verdicts.size());
  if (!std::isfinite(stacking.bias) || !std::isfinite(stacking.logprob_mean) || !weighs(stacking.logprob_weight))
    refuse(
        fmt::format("stacking has bias {}, logprob_weight {} and logprob_mean {}; expected finite numbers, the "
                    "weight 0 or more",
                    stacking.bias, stacking.logprob_weight, stacking.logprob_mean));
  double sum = stacking.bias;
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const Verdict& verdict = verdicts[i];
    const bool finite = verdict.logit && std::isfinite(*verdict.logit);
    sum += weights[i] * (finite ? *verdict.logit : log_odds(verdict.p_correct));
  }
  if (mean_logprob && std::isfinite(*mean_logprob))
    sum += stacking.logprob_weight * (*mean_logprob - stacking.logprob_mean);
  return Calibration::sigmoid(sum);
}

}  // namespace

double aggregate(Aggregation how, const std::vector<Verdict>& verdicts, const std::vector<double>& weights,
                 const Stacking& stacking, std::optional<double> mean_logprob) {
  check(verdicts);
  if (how == Aggregation::stacked) return stack(verdicts, weights, stacking, mean_logprob);
  const std::vector<double> share = shares(weights, verdicts.size());
  double sum = 0, least = 1, most = 0;
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const double p = verdicts[i].p_correct;
    if (share[i] == 0) continue;
    least = std::min(least, p);
    most = std::max(most, p);
    switch (how) {
      case Aggregation::mean_logit: sum += share[i] * log_odds(p); break;
      case Aggregation::vote: sum += share[i] * vote(verdicts[i].decision); break;
      default: sum += share[i] * p;
    }
  }
  switch (how) {
    case Aggregation::mean_logit: return Calibration::sigmoid(sum);
    case Aggregation::minimum: return least;
    case Aggregation::maximum: return most;
    default: return std::min(sum, 1.0);
  }
}

std::string_view name(Aggregation how) noexcept {
  for (const auto& [text, value] : known)
    if (value == how) return text;
  return "unknown";
}

Aggregation parse_aggregation(std::string_view text) {
  std::string names;
  for (const auto& [name, value] : known) {
    if (name == text) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(fmt::format("aggregation \"{}\" is not known; the known ones are {}", text, names));
}

}  // namespace gavel
