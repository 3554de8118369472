#include "normal_form.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>

#include "gavel/error.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

struct Range {
  char32_t first, last;
};

// Combining marks that the reference's normaliser does not know yet (Unicode 10 and later): it leaves them where they
// are and composes nothing across them.
constexpr Range unknown_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
};

// Characters newer than the reference's normaliser that decompose: it leaves them whole.
constexpr Range unknown_composites[] = {
    {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x11938, 0x11938}, {0x1E030, 0x1E06D}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
};

bool within(const Range* begin, const Range* end, char32_t code) {
  const Range* after =
      std::upper_bound(begin, end, code, [](char32_t value, const Range& range) { return value < range.first; });
  return after != begin && code <= std::prev(after)->last;
}

bool is_unknown(char32_t code) {
  return within(std::begin(unknown_marks), std::end(unknown_marks), code) ||
         within(std::begin(unknown_composites), std::end(unknown_composites), code);
}

utf8proc_option_t options_of(NormalForm form) {
  const bool composed = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                        (compatible ? UTF8PROC_COMPAT : 0));
}

void append_normal(std::string& out, std::string_view text, NormalForm form) {
  if (text.empty()) return;
  utf8proc_uint8_t* normal = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &normal, options_of(form));
  if (size == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
  if (size < 0) throw Error(ErrorCode::internal, std::string("normalising text failed: ") + utf8proc_errmsg(size));
  out.append(reinterpret_cast<const char*>(normal), static_cast<std::size_t>(size));
  std::free(normal);
}

// Below this first byte every character is normal: ASCII for all forms, and for NFC all that comes before the first
// combining mark (U+0300).
unsigned char first_byte_to_change(NormalForm form) {
  return form == NormalForm::nfc ? 0xCC : 0x80;
}

}  // namespace

std::string normal_form(std::string_view text, NormalForm form) {
  const auto may_change = [limit = first_byte_to_change(form)](char c) {
    return static_cast<unsigned char>(c) >= limit;
  };
  if (std::none_of(text.begin(), text.end(), may_change)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (is_unknown(step.code)) {
      append_normal(out, text.substr(start, at - start), form);
      out += text.substr(at, step.length);
      start = at + step.length;
    }
    at += step.length;
  }
  append_normal(out, text.substr(start), form);
  return out;
}

}  // namespace gavel::text
