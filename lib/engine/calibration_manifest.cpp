#include "engine/manifest_reader.hpp"

namespace gavel {

Calibration read_calibration(const Reader& owner) {
  const Reader calibration = owner.object("calibration");
  if (!calibration.has("logits")) return {calibration.number("scale"), calibration.number("shift")};
  Calibration isotonic;
  const auto logits = calibration.numbers<double>("logits"), p_correct = calibration.numbers<double>("p_correct");
  if (logits.empty() || p_correct.size() != logits.size())
    calibration.refuse("p_correct", fmt::format("{} numbers, one for each logit, and one at least", logits.size()),
                       p_correct.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (i > 0 && !(logits[i] > logits[i - 1])) calibration.refuse("logits", "numbers that rise", logits[i]);
    if (!(p_correct[i] >= (i > 0 ? p_correct[i - 1] : 0.0) && p_correct[i] <= 1))
      calibration.refuse("p_correct", "numbers within [0, 1] that never fall", p_correct[i]);
    isotonic.corners.push_back({logits[i], p_correct[i]});
  }
  return isotonic;
}

DecisionRule read_rule(const Reader& owner) {
  const DecisionRule rule{owner.number("threshold"), owner.number("abstain_band")};
  if (rule.threshold < 0 || rule.threshold > 1) owner.refuse("threshold", "within [0, 1]", owner.at("threshold"));
  if (rule.abstain_band < 0 || rule.abstain_band > 1)
    owner.refuse("abstain_band", "within [0, 1]", owner.at("abstain_band"));
  return rule;
}

std::optional<OperatingCurve> read_curve(const Reader& owner) {
  if (!owner.has("validation")) return std::nullopt;
  constexpr std::int64_t most = 1'000'000'000;
  const Reader validation = owner.object("validation"), counts = validation.object("curve");
  OperatingCurve curve;
  curve.candidates = validation.integer("candidates", 1, most);
  const auto thresholds = counts.numbers<double>("thresholds");
  const auto selected = counts.integers<std::int64_t>("selected", 1, curve.candidates);
  const auto correct = counts.integers<std::int64_t>("correct", 0, curve.candidates);
  if (thresholds.empty() || selected.size() != thresholds.size() || correct.size() != thresholds.size())
    counts.refuse("thresholds", "at least one, and as many as selected and correct", thresholds.size());
  for (std::size_t i = 0; i < thresholds.size(); ++i) {
    if (!(thresholds[i] >= 0 && thresholds[i] <= 1) || (i > 0 && !(thresholds[i] > thresholds[i - 1])))
      counts.refuse("thresholds", "numbers within [0, 1] that rise", thresholds[i]);
    if (i > 0 && selected[i] > selected[i - 1]) counts.refuse("selected", "numbers that never rise", selected[i]);
    if (correct[i] > selected[i]) counts.refuse("correct", "no more than were selected", correct[i]);
    curve.counts.push_back({thresholds[i], selected[i], correct[i]});
  }
  return curve;
}

}  // namespace gavel
