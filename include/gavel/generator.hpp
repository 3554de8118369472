#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gavel/cancel.hpp"
#include "gavel/candidate.hpp"
#include "gavel/model.hpp"
#include "gavel/sampling.hpp"
#include "gavel/task.hpp"

namespace gavel {

/// How candidates are written.
struct GenerateOptions {
  std::int32_t candidates = 10;   ///< 1 to 1024
  std::int32_t max_tokens = 256;  ///< per candidate; > 0
  SamplingOptions sampling;
  std::vector<std::string> stop;          ///< further stop strings; the text ends before the first that appears
  std::vector<std::int32_t> stop_tokens;  ///< further stop tokens, beside the bundle's own
  bool language_stops = true;             ///< end a completion with its function, closing the types around it
  bool probe = true;                      ///< fill p_correct where the bundle has a probe

  /// Stop writing a candidate once the probe gives it less than this probability of being correct, in [0, 1]; 0 never
  /// does. It is asked after as many tokens as the bundle has early probes for (`gavel fit-probe`). What is not stopped
  /// is written as without this.
  double stop_below = 0;
};

/// One piece of a candidate while it is written. Text never ends within a UTF-8 character.
struct StreamEvent {
  std::size_t task = 0;  ///< index into the tasks of the call
  std::int32_t candidate = 0;
  std::int32_t token = -1;
  std::string_view text;  ///< valid during the callback only
  bool finished = false;  ///< the candidate's last event
};

/// Called on the calling thread, in order of decode steps. An exception it throws ends the call and reaches the caller.
using StreamCallback = std::function<void(const StreamEvent&)>;

/// Times and counts of one call; seconds and tokens.
struct GenerateStats {
  double prefill_seconds = 0, decode_seconds = 0, sample_seconds = 0;
  std::int64_t prompt_tokens = 0, sampled_tokens = 0, steps = 0;
  std::int64_t stopped = 0;  ///< candidates that the probe ended (FinishReason::stopped_by_probe)
};

/// All candidates of one task, in order of their index.
struct Generation {
  std::vector<Candidate> candidates;
  std::vector<std::int32_t> prompt_tokens;
  GenerateStats stats;
};

/// Writes candidates with one model. Not thread-safe; make one per thread on a shared Model.
class Generator {
 public:
  explicit Generator(Model model);
  ~Generator();
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;

  /// N candidates of one task from one prefill. Candidate i depends on (seed, i), never on N: with int8 weights on the
  /// CPU to the last bit; elsewhere up to the kernels' summation order.
  /// Throws invalid_argument (empty task, invalid UTF-8, options out of range, prompt longer than the context),
  /// unsupported (stop_below where the bundle has no early probes), out_of_memory (with the bytes that were needed), or
  /// cancelled.
  [[nodiscard]] Generation generate(const Task& task, const GenerateOptions& options = {},
                                    const StreamCallback& stream = {}, const Cancel& cancel = {});

  /// Many tasks in one call, in order.
  [[nodiscard]] std::vector<Generation> generate(const std::vector<Task>& tasks, const GenerateOptions& options = {},
                                                 const StreamCallback& stream = {}, const Cancel& cancel = {});

  [[nodiscard]] const Model& model() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gavel
