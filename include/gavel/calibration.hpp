#pragma once

#include <cmath>

namespace gavel {

/// Platt scaling (Platt 1999): p = sigmoid(scale * logit + shift). {1, 0} leaves the model's own probability.
/// With shift 0 it is temperature scaling (Guo et al., ICML 2017) with temperature 1 / scale.
struct Calibration {
  double scale = 1.0;
  double shift = 0.0;
  [[nodiscard]] double probability(double logit) const { return sigmoid(scale * logit + shift); }
  [[nodiscard]] static double sigmoid(double x) {
    if (x >= 0) return 1.0 / (1.0 + std::exp(-x));
    const double e = std::exp(x);
    return e / (1.0 + e);
  }
};

/// When a probability becomes a decision: `correct` at or above `threshold`, unless within `abstain_band` of it.
struct DecisionRule {
  double threshold = 0.5;
  double abstain_band = 0.0;  ///< |p - threshold| < band abstains; 0 never abstains
};

}  // namespace gavel
