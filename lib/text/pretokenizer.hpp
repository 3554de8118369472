#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pattern.hpp"

namespace gavel::text {

/// Splits text into the words that the model then works on, one by one: a sequence of steps, each of which splits what
/// the one before it left.
class PreTokenizer {
 public:
  struct Step {
    enum class Kind {
      split,      ///< at the pattern's matches
      prefix,     ///< puts `text` before a piece that does not begin with it
      metaspace,  ///< spaces become `text`, which is also put first
    };
    /// What becomes of a split's matches: pieces of their own, nothing, the end of the piece before, the beginning of
    /// the piece behind, or one piece with the matches beside it.
    enum class Behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };
    Kind kind = Kind::split;
    std::optional<Pattern> pattern;
    Behavior behavior = Behavior::isolated;
    bool invert = false;       ///< split: matches and what lies between them change places
    std::string text;          ///< prefix, metaspace
    bool only_first = false;   ///< metaspace: put `text` first only where the whole text begins
    bool put_first = true;     ///< metaspace: put `text` first at all
    bool split_words = false;  ///< metaspace: split before each `text`
  };

  using Emit = std::function<void(std::string_view word)>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<Step> steps) : steps_(std::move(steps)) {}

  /// Calls `emit` with each word, none empty. `at_start`: the piece begins the caller's text.
  void operator()(std::string_view piece, bool at_start, MatchMemory& memory, const Emit& emit) const {
    run(0, piece, at_start, memory, emit);
  }

 private:
  void run(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory, const Emit& emit) const;
  void split(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory, const Emit& emit) const;
  void split_and_merge(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory,
                       const Emit& emit) const;
  void metaspace(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory, const Emit& emit) const;

  std::vector<Step> steps_;
};

/// GPT-2's pattern, which byte-level pre-tokenizers use unless told otherwise.
[[nodiscard]] Pattern gpt2_pattern();

/// A single character of white space.
[[nodiscard]] Pattern white_space_pattern();

/// Characters that are numbers to the reference's digit splitter: single ones, or runs of them.
[[nodiscard]] Pattern digits_pattern(bool individual);

}  // namespace gavel::text
