#pragma once

#include <string>
#include <string_view>

namespace gavel::text {

/// Unicode's White_Space property.
[[nodiscard]] bool is_white_space(char32_t code) noexcept;

/// A character of a word as added tokens with `single_word` see it: letters, marks, decimal digits, connectors.
[[nodiscard]] bool is_word(char32_t code) noexcept;

/// Ranges, written for the inside of a PCRE2 class, of a general category's characters ("L", "Lu", "N", ...) that
/// are newer than the Unicode tables of PCRE2 10.42: the reference's pattern engine knows Unicode 16.
[[nodiscard]] std::string newer_characters(std::string_view category);

/// Normalisation form C of valid UTF-8, as the reference library computes it.
[[nodiscard]] std::string nfc(std::string_view text);

}  // namespace gavel::text
