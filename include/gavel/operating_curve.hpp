#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

namespace gavel {

/// A threshold on P(correct), and what it was worth on the judge's validation candidates: those at or above it are
/// selected. It holds for candidates like those.
struct OperatingPoint {
  double threshold = 0;
  double precision = 0;         ///< share of the selected candidates that are correct
  double precision_low = 0;     ///< lower end of its 95 % interval (Wilson 1927): what few selected candidates can show
  double coverage = 0;          ///< share of all candidates that are selected
  std::int64_t selected = 0;    ///< validation candidates that `precision` is of
  std::int64_t candidates = 0;  ///< validation candidates in all
};

/// What every threshold of a judge was worth on its validation candidates.
struct OperatingCurve {
  /// Points of fewer selected candidates are not chosen: among so many thresholds a few lucky candidates reach
  /// anything.
  static constexpr std::int64_t least_selected = 20;

  struct Count {
    double threshold = 0;
    std::int64_t selected = 0;  ///< candidates at or above the threshold
    std::int64_t correct = 0;   ///< correct ones among them
  };
  std::int64_t candidates = 0;
  std::vector<Count> counts;  ///< by rising threshold

  /// The lowest threshold, so the one of most coverage, of that precision at least; none where no threshold has it.
  [[nodiscard]] std::optional<OperatingPoint> at_precision(double precision) const {
    for (const Count& count : counts)
      if (count.selected >= least_selected && share(count.correct, count.selected) >= precision) return point(count);
    return std::nullopt;
  }

  /// The most that at_precision can be asked for; 0 where there are too few candidates.
  [[nodiscard]] double highest_precision() const {
    double highest = 0;
    for (const Count& count : counts)
      if (count.selected >= least_selected) highest = std::max(highest, share(count.correct, count.selected));
    return highest;
  }

  [[nodiscard]] OperatingPoint point(const Count& count) const {
    return {.threshold = count.threshold,
            .precision = share(count.correct, count.selected),
            .precision_low = wilson_low(count.correct, count.selected),
            .coverage = share(count.selected, candidates),
            .selected = count.selected,
            .candidates = candidates};
  }

  /// Lower end of the two-sided 95 % Wilson score interval of a share.
  [[nodiscard]] static double wilson_low(std::int64_t part, std::int64_t whole) {
    constexpr double z = 1.959963984540054;
    const double n = static_cast<double>(whole), p = share(part, whole);
    const double centre = p + z * z / (2 * n), spread = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    return std::max(0.0, (centre - spread) / (1 + z * z / n));
  }

 private:
  [[nodiscard]] static double share(std::int64_t part, std::int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  }
};

}  // namespace gavel
