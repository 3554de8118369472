#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gavel/calibration.hpp"
#include "gavel/cancel.hpp"
#include "gavel/candidate.hpp"
#include "gavel/model.hpp"
#include "gavel/operating_curve.hpp"
#include "gavel/task.hpp"
#include "gavel/verdict.hpp"

namespace gavel {

/// Anything that can join a team: it says who it is and gives one verdict per candidate, in order.
template <class T>
concept AnyJudge = requires(T& judge, const Task& task, const std::vector<Candidate>& candidates,
                            const Cancel& cancel) {
  { judge.info() } -> std::convertible_to<JudgeInfo>;
  { judge.judge(task, candidates, cancel) } -> std::convertible_to<std::vector<Verdict>>;
};

/// Which of a bundle's judges to open.
enum class JudgeKind {
  automatic,   ///< the bundle's probe where it has one, else its classifier, else its verbalizer
  verbalizer,  ///< softmax over the positive and negative vocabulary rows (the paper's judge)
  classifier,  ///< a head on a decoder's last state, or on an encoder's (RankEF, CodeRanker); also a reward head
  probe        ///< logistic regression on pooled middle-layer states of the candidate's tokens
};

struct JudgeOptions {
  JudgeKind kind = JudgeKind::automatic;
  std::optional<double> threshold;     ///< overrides the bundle's
  std::optional<double> abstain_band;  ///< overrides the bundle's
  std::int32_t feedback_tokens = 0;    ///< longest feedback to write about each candidate; 0 writes none
  std::optional<double> precision;     ///< takes the threshold of Judge::at_precision instead of the bundle's
};

/// P(correct) of candidates by one model. Not thread-safe; make one per thread on a shared Model.
///
/// A decoder reads the task once for all candidates. An encoder reads every candidate together with the task, and no
/// more tokens than its context. Where there are more, its bundle says what is left out: the end of the task, so that
/// every candidate is read whole (unless it was exported otherwise); the end of the whole text; or nothing, and such a
/// candidate is refused. Verdict::truncated says how many tokens it was.
///
/// A score does not depend on the candidates beside it: with int8 weights on the CPU it is equal to the last bit; with
/// floating-point weights the matrix products' summation order may move a probability by up to 1e-5 (fp32) or
/// 2e-2 (bf16, fp16).
class Judge {
 public:
  /// Throws unsupported for a kind of judge the bundle does not have, where feedback is asked of a model that writes
  /// none (only a classifier on an encoder-decoder does), and for a precision that cannot be had or that the bundle
  /// knows nothing of; invalid_argument for options out of range, or a threshold and a precision at once.
  explicit Judge(Model model, const JudgeOptions& options = {});
  ~Judge();
  Judge(Judge&&) noexcept;
  Judge& operator=(Judge&&) noexcept;

  [[nodiscard]] JudgeInfo info() const;

  /// One verdict per candidate, in order. Throws invalid_argument for an empty task, an empty candidate (by its
  /// number), invalid UTF-8, or a task and candidate longer than the context (an encoder's: see above).
  [[nodiscard]] std::vector<Verdict> judge(const Task& task, const std::vector<Candidate>& candidates,
                                           const Cancel& cancel = {});

  /// The threshold for, say, 95 % precision (0.95): the one of most coverage whose selected validation candidates were
  /// correct so often, and what it is worth; none where no threshold that selects enough of them was. Decisions follow
  /// it in a judge made with it (JudgeOptions::precision); an abstention band then takes from those selected.
  /// Throws invalid_argument outside (0, 1], and unsupported where the bundle stores no validation of this judge
  /// (`gavel calibrate` makes one, `gavel fit-probe` a probe's own).
  [[nodiscard]] std::optional<OperatingPoint> at_precision(double precision) const;

  [[nodiscard]] const Model& model() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Mean-pooled hidden states of the candidates' tokens in the generation context, for fitting a probe:
/// [candidates][layers][hidden], after the named layers (0 is the embedding's output, L the last layer's).
[[nodiscard]] std::vector<std::vector<std::vector<float>>> tap(const Model& model, const Task& task,
                                                               const std::vector<Candidate>& candidates,
                                                               const std::vector<std::int32_t>& layers,
                                                               const Cancel& cancel = {});

/// The same of every token, for probes that pool otherwise: [candidates][tokens][layers * hidden], a token's layers one
/// after another. Tokens are those a candidate was written with where they are this model's, else those of its text.
[[nodiscard]] std::vector<std::vector<std::vector<float>>> tap_tokens(const Model& model, const Task& task,
                                                                      const std::vector<Candidate>& candidates,
                                                                      const std::vector<std::int32_t>& layers,
                                                                      const Cancel& cancel = {});

}  // namespace gavel
