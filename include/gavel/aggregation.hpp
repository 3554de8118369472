#pragma once

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
  maximum            ///< the most trusting judge of those with a weight
};

/// One candidate's score from the judges' verdicts, in the judges' order. `weights` are empty (all equal) or one
/// non-negative number per judge, not all zero. Throws invalid_argument otherwise, for no verdicts, and for a p_correct
/// outside [0, 1].
[[nodiscard]] double aggregate(Aggregation how, const std::vector<Verdict>& verdicts,
                               const std::vector<double>& weights = {});

/// "mean_probability" and so on. parse throws invalid_argument naming the known ones.
[[nodiscard]] std::string_view name(Aggregation how) noexcept;
[[nodiscard]] Aggregation parse_aggregation(std::string_view text);

}  // namespace gavel
