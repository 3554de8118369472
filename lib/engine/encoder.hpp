#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gavel/cancel.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// An encoder at work, with its decoder where it has one that writes. It knows tokens, no prompts and no policy of
/// choosing among them. Sequences are read whole, each to itself and without padding; cancellation is looked at between
/// passes of about `chunk_tokens`, and before every step. Not thread-safe; any number may share a model.
/// The program's side of it: toolkit/encoder_program.py.
class Encoder {
 public:
  using Tokens = std::vector<std::int32_t>;

  explicit Encoder(Model model);
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  /// The labels' logits of each sequence, float32 [n][labels]. Valid until the next call. Throws out_of_memory with
  /// the bytes that were needed.
  [[nodiscard]] std::span<const float> classify(std::span<const Tokens> sequences, const Cancel& cancel);

  /// Reads sequences for the decoder, which may then write up to `most` tokens for each; forgets all that was there.
  void read(std::span<const Tokens> sequences, std::int64_t most, const Cancel& cancel);

  /// The next token of one of the sequences read, by its number.
  struct Next {
    std::int64_t sequence = 0;
    std::int32_t token = 0;
  };

  /// Takes one token for each of some sequences: the logits of what comes next, float32 [n][vocabulary]. Valid until
  /// the next call.
  [[nodiscard]] std::span<const float> step(std::span<const Next> next, const Cancel& cancel);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gavel
