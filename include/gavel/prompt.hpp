#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gavel {

/// One piece of a compiled prompt. Templates are rendered to segments at export, so no template engine runs here.
struct Segment {
  enum class Kind {
    text,   ///< literal text, encoded without recognising special tokens
    token,  ///< one special token by id
    slot    ///< replaced by the caller's text, encoded like `text`: it can never become a special token
  };
  Kind kind = Kind::text;
  std::string value;        ///< the literal text, or the slot's name ("prompt", "language", "code")
  std::int32_t token = -1;  ///< for Kind::token
};

/// A compiled prompt. Neighbouring texts and slots are joined before they are encoded, as the reference would.
using Prompt = std::vector<Segment>;

/// Texts for a prompt's slots, by name.
using Slots = std::map<std::string, std::string, std::less<>>;

/// A run of text to encode, or one special token: a prompt after its slots are filled.
struct PromptPiece {
  std::string text;
  std::int32_t token = -1;  ///< >= 0: this special token, and text is empty
};

/// Fills the slots and joins neighbouring texts. Throws invalid_argument for a slot that has no text.
[[nodiscard]] std::vector<PromptPiece> fill(const Prompt& prompt, const Slots& slots);

/// The prompt cut before the first segment that mentions `slot`, and the rest: what all candidates share, and what
/// differs. Throws invalid_argument where no segment mentions it.
struct SplitPrompt {
  Prompt shared, rest;
};
[[nodiscard]] SplitPrompt split_before(const Prompt& prompt, std::string_view slot);

}  // namespace gavel
