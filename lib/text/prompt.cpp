#include "gavel/prompt.hpp"

#include <algorithm>

#include "gavel/error.hpp"

namespace gavel {

namespace {

const std::string& text_of(const Segment& segment, const Slots& slots) {
  if (segment.kind == Segment::Kind::text) return segment.value;
  const auto slot = slots.find(segment.value);
  if (slot != slots.end()) return slot->second;
  throw Error(ErrorCode::invalid_argument, "the prompt needs a text for its slot \"" + segment.value + "\"");
}

}  // namespace

std::vector<PromptPiece> fill(const Prompt& prompt, const Slots& slots) {
  std::vector<PromptPiece> pieces;
  for (const Segment& segment : prompt) {
    if (segment.kind == Segment::Kind::token) {
      pieces.push_back({"", segment.token});
      continue;
    }
    const std::string& text = text_of(segment, slots);
    if (text.empty()) continue;
    if (pieces.empty() || pieces.back().token >= 0) pieces.emplace_back();
    pieces.back().text += text;
  }
  return pieces;
}

SplitPrompt split_before(const Prompt& prompt, std::string_view slot) {
  const auto cut = std::find_if(prompt.begin(), prompt.end(), [&](const Segment& segment) {
    return segment.kind == Segment::Kind::slot && segment.value == slot;
  });
  if (cut == prompt.end()) {
    throw Error(ErrorCode::invalid_argument, "the prompt has no slot \"" + std::string(slot) + "\" to cut it at");
  }
  return {Prompt(prompt.begin(), cut), Prompt(cut, prompt.end())};
}

}  // namespace gavel
