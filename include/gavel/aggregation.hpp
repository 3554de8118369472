#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "gavel/verdict.hpp"

namespace gavel {

/// How a team's verdicts on one candidate become one score in [0, 1].
enum class Aggregation {
  mean_probability,  ///< weighted mean of p_correct (soft voting)
  mean_logit,        ///< sigmoid of the weighted mean of calibrated log-odds (product of experts)
  vote,              ///< weighted share of judges whose decision is `correct`; an abstention counts half
  minimum,           ///< the most sceptical judge of those with a weight
  maximum,           ///< the most trusting judge of those with a weight
  stacked            ///< logistic regression on log-odds and log-probability, fitted on labelled candidates: Stacking
};

/// What `stacked` knows beside the judges' weights (stacked generalization: Wolpert, Neural Networks 5, 1992):
///     score = sigmoid(bias + sum of weight * log-odds + logprob_weight * (mean log-probability - logprob_mean))
/// with each judge's log-odds before calibration, or those of its p_correct where it gives none. No weight is negative
/// (Breiman, Machine Learning 24, 1996): of correlated judges one could otherwise lower the score of what it favours,
/// which holds for no candidates but those of the fit. A candidate without a log-probability counts as average.
struct Stacking {
  double bias = 0;
  double logprob_weight = 0;  ///< of the generator's mean log-probability per token; 0 or more
  double logprob_mean = 0;    ///< of the candidates of the fit
};

/// One candidate's score from the judges' verdicts, in the judges' order. `weights` are empty (all equal) or one
/// non-negative number per judge, not all zero; `stacked` needs them, and takes `stacking` and the candidate's mean
/// log-probability into account. Throws invalid_argument otherwise, for no verdicts, for a p_correct outside [0, 1],
/// and for a `stacking` that is not finite or has a negative weight.
[[nodiscard]] double aggregate(Aggregation how, const std::vector<Verdict>& verdicts,
                               const std::vector<double>& weights = {}, const Stacking& stacking = {},
                               std::optional<double> mean_logprob = std::nullopt);

/// "mean_probability" and so on. parse throws invalid_argument naming the known ones.
[[nodiscard]] std::string_view name(Aggregation how) noexcept;
[[nodiscard]] Aggregation parse_aggregation(std::string_view text);

}  // namespace gavel
