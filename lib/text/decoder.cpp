#include "decoder.hpp"

#include <charconv>

#include "byte_alphabet.hpp"
#include "normalizer.hpp"

namespace gavel::text {

int byte_of_token(std::string_view written) {
  if (written.size() != 6 || !written.starts_with("<0x") || !written.ends_with('>')) return -1;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(written.data() + 3, written.data() + 5, value, 16);
  return error == std::errc() && end == written.data() + 5 ? static_cast<int>(value) : -1;
}

std::string Decoder::bytes(std::string_view written, bool first) const {
  if (byte_level) return bytes_of_written(written).value_or(std::string(written));
  std::string text(written);
  if (first && !left_out_of_first.empty()) text = replace_all(text, left_out_of_first, "");
  for (const auto& [from, to] : replacements) text = replace_all(text, from, to);
  const int byte = byte_fallback ? byte_of_token(text) : -1;
  if (byte >= 0) return std::string(1, static_cast<char>(static_cast<unsigned char>(byte)));
  return text;
}

std::string_view Decoder::stripped(std::string_view joined) const {
  for (int i = 0; i < strip_count && joined.starts_with(strip); ++i) joined.remove_prefix(strip.size());
  return joined;
}

}  // namespace gavel::text
