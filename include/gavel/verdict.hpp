#pragma once

#include <optional>
#include <string>

namespace gavel {

/// What a judge decided about one candidate.
enum class Decision { correct, wrong, abstain };

/// A judge's word on one candidate of one task.
struct Verdict {
  double p_correct = 0.5;                 ///< calibrated probability, in [0, 1]
  std::optional<double> logit;            ///< log-odds before calibration; none from judges that know no logits
  Decision decision = Decision::abstain;  ///< p_correct against the judge's threshold and abstention band
};

/// What a verdict's reader must know of the judge behind it.
struct JudgeInfo {
  std::string name;      ///< names the judge in records and tables
  std::string kind;      ///< "verbalizer", "classifier", "probe" or the user's own word
  bool trained = false;  ///< false: a model asked zero-shot; whatever shows its verdicts says so
  std::string digest;    ///< SHA-256 of the bundle's manifest, or empty
};

}  // namespace gavel
