#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/manifest.hpp"
#include "gavel/cancel.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// A model at work: one shared prefix and a number of sequences that continue it, with their keys and values. It knows
/// tokens, no prompts and no sampling. Not thread-safe; any number of sessions may share a model, each in its thread.
class Session {
 public:
  struct Limits {
    std::int64_t prefix = 0;     ///< tokens of the shared prompt
    std::int64_t sequences = 0;  ///< how many continue it at once
    std::int64_t own = 0;        ///< tokens of each
  };

  /// Allocates the caches. Throws out_of_memory with the bytes that were needed.
  Session(Model model, const Limits& limits, std::vector<std::int64_t> taps = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Reads the shared prefix, from its beginning; forgets all that was there. At least one token.
  void prefill(std::span<const std::int32_t> tokens, const Cancel& cancel);

  /// Empties the sequences; the prefix stays.
  void restart();

  /// More tokens for one sequence.
  struct Append {
    std::int64_t slot = 0;
    std::span<const std::int32_t> tokens;
  };

  /// What `tapped` speaks of: each sequence, the sum over its new tokens; or each of those tokens.
  enum class Tapped { sums, tokens };

  /// Appends at least one token to each of some sequences. `logits` and `tapped` then speak of these, in this order.
  void extend(std::span<const Append> appends, const Cancel& cancel, Tapped tapped = Tapped::sums);

  /// Logits after the last token of each sequence of the last call (of the prefix after prefill): [n][columns],
  /// float32, for the whole vocabulary or the asked rows; a classifier's labels. Valid until the next call.
  [[nodiscard]] std::span<const float> logits(std::span<const std::int64_t> rows = {});

  /// The tapped layers' states of the last extend, summed over each sequence's tokens: [taps][n][hidden]; or those of
  /// all its tokens, sequence after sequence: [taps][tokens][hidden]. Valid until the next call.
  [[nodiscard]] std::span<const float> tapped() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gavel
