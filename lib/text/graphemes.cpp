#include "graphemes.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "utf8.hpp"

namespace gavel::text {

namespace {

struct Range {
  char32_t first, last;
};

// Characters newer than utf8proc's tables (Unicode 15) that belong to the character before them.
constexpr Range newer_extending[] = {
    {0x897, 0x897},     {0x1ACF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x10D69, 0x10D6D}, {0x10EFA, 0x10EFC},
    {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113D0},
    {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x11B60, 0x11B67}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F},
    {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5},
};

bool extends_newly(char32_t code) {
  const Range* after = std::upper_bound(std::begin(newer_extending), std::end(newer_extending), code,
                                        [](char32_t value, const Range& range) { return value < range.first; });
  return after != std::begin(newer_extending) && code <= std::prev(after)->last;
}

// The character as utf8proc's tables have its kind; two that prefix others changed their kind with Unicode 16.
utf8proc_int32_t known(char32_t code) {
  constexpr char32_t prefixes_no_longer = 0x11A3A, prefixes_newly = 0x113D1;
  constexpr utf8proc_int32_t letter = 'a', prefix = 0x600, mark = 0x300;
  if (code == prefixes_no_longer) return letter;
  if (code == prefixes_newly) return prefix;
  return extends_newly(code) ? mark : static_cast<utf8proc_int32_t>(code);
}

}  // namespace

std::size_t grapheme_length(std::string_view text, std::size_t at) {
  // Nearly all text: two ASCII characters make a cluster only as the end of a line.
  const auto is_ascii = [&](std::size_t i) { return static_cast<unsigned char>(text[i]) < 0x80; };
  if (is_ascii(at) && (at + 1 == text.size() || (is_ascii(at + 1) && text[at + 1] != '\n'))) return 1;
  Utf8Step step = read_utf8(text, at);
  utf8proc_int32_t before = known(step.code), state = 0;
  std::size_t end = at + step.length;
  while (end < text.size()) {
    step = read_utf8(text, end);
    const utf8proc_int32_t code = known(step.code);
    if (utf8proc_grapheme_break_stateful(before, code, &state)) break;
    before = code;
    end += step.length;
  }
  return end - at;
}

}  // namespace gavel::text
