#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace gavel {

/// From a judge's log-odds to P(correct), by one of three ways that keep the order of candidates:
/// - Platt scaling (Platt 1999): p = sigmoid(scale * logit + shift). {1, 0} leaves the model's own probability;
/// - with shift 0 it is temperature scaling (Guo et al., ICML 2017) with temperature 1 / scale;
/// - isotonic regression (Zadrozny and Elkan, KDD 2002): where there are `corners`, p is linear between them and flat
///   beyond the first and last. Candidates between two corners of the same p become equals.
struct Calibration {
  struct Corner {
    double logit = 0;
    double p_correct = 0;
  };
  double scale = 1.0;
  double shift = 0.0;
  std::vector<Corner> corners = {};  ///< by rising logit, p_correct never falling; none: scale and shift count

  [[nodiscard]] double probability(double logit) const {
    return corners.empty() || std::isnan(logit) ? sigmoid(scale * logit + shift) : interpolated(logit);
  }
  [[nodiscard]] static double sigmoid(double x) {
    if (x >= 0) return 1.0 / (1.0 + std::exp(-x));
    const double e = std::exp(x);
    return e / (1.0 + e);
  }

 private:
  [[nodiscard]] double interpolated(double logit) const {
    const auto above = std::upper_bound(corners.begin(), corners.end(), logit,
                                        [](double value, const Corner& corner) { return value < corner.logit; });
    if (above == corners.begin()) return corners.front().p_correct;
    if (above == corners.end()) return corners.back().p_correct;
    const Corner &low = *(above - 1), &high = *above;
    return std::lerp(low.p_correct, high.p_correct, (logit - low.logit) / (high.logit - low.logit));
  }
};

/// When a probability becomes a decision: `correct` at or above `threshold`, unless within `abstain_band` of it.
struct DecisionRule {
  double threshold = 0.5;
  double abstain_band = 0.0;  ///< |p - threshold| < band abstains; 0 never abstains
};

}  // namespace gavel
