#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gavel {

/// What a judge decided about one candidate.
enum class Decision { correct, wrong, abstain };

/// A judge's word on one candidate of one task.
struct Verdict {
  double p_correct = 0.5;                 ///< calibrated probability, in [0, 1]
  std::optional<double> logit;            ///< log-odds before calibration; none from judges that know no logits
  Decision decision = Decision::abstain;  ///< p_correct against the judge's threshold and abstention band

  /// Before calibration, one per label of JudgeInfo::labels in their order: a classifier's softmax (of one label, a
  /// reward head, its sigmoid), a verbalizer's two answers. None from probes and from judges that know no classes.
  std::vector<double> probabilities = {};
  std::string feedback = {};   ///< what the judge wrote about the candidate, where it was asked to
  std::int64_t truncated = 0;  ///< tokens of task and candidate that an encoder had no room for: see Judge
};

/// What a verdict's reader must know of the judge behind it.
struct JudgeInfo {
  std::string name;                      ///< names the judge in records and tables
  std::string kind;                      ///< "verbalizer", "classifier", "probe" or the user's own word
  bool trained = false;                  ///< false: a model asked zero-shot; whatever shows its verdicts says so
  std::string digest;                    ///< SHA-256 of the bundle's manifest, or empty
  std::vector<std::string> labels = {};  ///< what class probabilities are of; a verbalizer's: "correct", "wrong"
};

}  // namespace gavel
