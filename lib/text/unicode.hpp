#pragma once

#include <string>
#include <string_view>

namespace gavel::text {

/// Unicode's White_Space property.
[[nodiscard]] bool is_white_space(char32_t code) noexcept;

/// Where the white space that ends before `at` begins, and where that which begins at `at` ends, in valid UTF-8.
[[nodiscard]] std::size_t white_space_before(std::string_view text, std::size_t at) noexcept;
[[nodiscard]] std::size_t white_space_after(std::string_view text, std::size_t at) noexcept;

/// Start of the character that ends before `at`, which is above 0.
[[nodiscard]] std::size_t previous_character(std::string_view text, std::size_t at) noexcept;

/// Each character in lower case (Unicode 17, without regard to its neighbours).
[[nodiscard]] std::string lowercase(std::string_view text);

/// A character of a word as added tokens with `single_word` see it: letters, marks, decimal digits, connectors.
[[nodiscard]] bool is_word(char32_t code) noexcept;

/// Ranges, written for the inside of a PCRE2 class, of a general category's characters ("L", "Lu", "N", ...) that
/// are newer than the Unicode tables of PCRE2 10.42: the reference's pattern engine knows Unicode 16.
[[nodiscard]] std::string newer_characters(std::string_view category);

}  // namespace gavel::text
