#include "pretokenizer.hpp"

#include "normalizer.hpp"
#include "unicode.hpp"

namespace gavel::text {

namespace {

using Behavior = PreTokenizer::Step::Behavior;

// Calls `pass(begin, end, matched)` for the matches and what lies between them, in order.
template <class Pass>
void each_part(const PreTokenizer::Step& step, std::string_view piece, MatchMemory& memory, Pass&& pass) {
  std::size_t done = 0;
  step.pattern->each_match(piece, memory, [&](Match match) {
    if (match.begin > done) pass(done, match.begin, step.invert);
    pass(match.begin, match.end, !step.invert);
    done = match.end;
  });
  if (done < piece.size()) pass(done, piece.size(), step.invert);
}

}  // namespace

void PreTokenizer::run(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory,
                       const Emit& emit) const {
  if (piece.empty()) return;
  if (step == steps_.size()) return emit(piece);
  const Step& now = steps_[step];
  switch (now.kind) {
    case Step::Kind::split: return split(step, piece, at_start, memory, emit);
    case Step::Kind::metaspace: return metaspace(step, piece, at_start, memory, emit);
    case Step::Kind::prefix:
      if (piece.starts_with(now.text)) return run(step + 1, piece, at_start, memory, emit);
      return run(step + 1, now.text + std::string(piece), at_start, memory, emit);
  }
}

void PreTokenizer::split(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory,
                         const Emit& emit) const {
  const Step& now = steps_[step];
  if (now.behavior != Behavior::isolated && now.behavior != Behavior::removed) {
    return split_and_merge(step, piece, at_start, memory, emit);
  }
  each_part(now, piece, memory, [&](std::size_t begin, std::size_t end, bool matched) {
    if (matched && now.behavior == Behavior::removed) return;
    run(step + 1, piece.substr(begin, end - begin), at_start && begin == 0, memory, emit);
  });
}

void PreTokenizer::split_and_merge(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory,
                                   const Emit& emit) const {
  const Step& now = steps_[step];
  std::vector<std::size_t> ends;
  std::optional<bool> previous;  // whether the part before was a match
  each_part(now, piece, memory, [&](std::size_t, std::size_t end, bool matched) {
    const bool joins = previous && (now.behavior == Behavior::contiguous             ? matched == *previous
                                    : now.behavior == Behavior::merged_with_previous ? matched && !*previous
                                                                                     : !matched && *previous);
    previous = matched;
    joins ? void(ends.back() = end) : ends.push_back(end);
  });
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    run(step + 1, piece.substr(begin, end - begin), at_start && begin == 0, memory, emit);
    begin = end;
  }
}

void PreTokenizer::metaspace(std::size_t step, std::string_view piece, bool at_start, MatchMemory& memory,
                             const Emit& emit) const {
  const Step& now = steps_[step];
  std::string text = replace_all(piece, " ", now.text);
  if (now.put_first && (at_start || !now.only_first) && !text.starts_with(now.text)) text.insert(0, now.text);
  if (!now.split_words) return run(step + 1, text, at_start, memory, emit);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(now.text, begin + 1), text.size());
    run(step + 1, std::string_view(text).substr(begin, end - begin), at_start && begin == 0, memory, emit);
    begin = end;
  }
}

Pattern gpt2_pattern() {
  return Pattern(translate_pattern(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"));
}

Pattern white_space_pattern() {
  return Pattern(translate_pattern(R"(\s)"));
}

Pattern digits_pattern(bool individual) {
  // The digit splitter is of a later Unicode version (17) than the pattern engine.
  const std::string set = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6})" + newer_characters("N") + "]";
  return Pattern(individual ? set : set + "+");
}

}  // namespace gavel::text
