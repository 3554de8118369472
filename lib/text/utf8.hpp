#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gavel::text {

/// One step through bytes that should be UTF-8.
struct Utf8Step {
  enum class Kind : std::uint8_t { valid, invalid, truncated };
  Kind kind = Kind::valid;
  std::uint8_t length = 1;  ///< bytes read: the character's, or those of the longest beginning of one
  char32_t code = 0;        ///< the code point, where valid
};

/// Reads the character at `at` (less than the size). `truncated` means the bytes end within a character.
[[nodiscard]] Utf8Step read_utf8(std::string_view bytes, std::size_t at) noexcept;

/// Offset of the first byte that is not part of a UTF-8 character, or npos.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view bytes) noexcept;

void append_utf8(std::string& out, char32_t code);

/// Appends bytes with U+FFFD for every longest run that begins no character (as Unicode recommends and the reference
/// libraries do), up to an unfinished character at the end. Returns how many bytes were taken.
std::size_t append_lossy_utf8(std::string& out, std::string_view bytes);

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// The whole of `bytes` as UTF-8, an unfinished character at the end included as U+FFFD.
[[nodiscard]] std::string lossy_utf8(std::string_view bytes);

}  // namespace gavel::text
