#include "character_map.hpp"

#include "gavel/error.hpp"
#include "graphemes.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

// The parts of a unit of darts-clone's array.
std::uint32_t offset_of(std::uint32_t unit) {
  return (unit >> 10U) << ((unit & (1U << 9U)) >> 6U);
}
std::uint32_t label_of(std::uint32_t unit) {
  return unit & ((1U << 31U) | 0xFFU);
}
bool has_leaf(std::uint32_t unit) {
  return ((unit >> 8U) & 1U) != 0;
}
std::uint32_t value_of(std::uint32_t unit) {
  return unit & ((1U << 31U) - 1);
}

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (unsigned i = 4; i-- > 0;) value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes, std::string_view name) {
  const std::size_t size = bytes.size() < 4 ? 0 : little_endian(bytes, 0);
  const bool fits = size > 0 && size % 4 == 0 && size <= bytes.size() - 4;
  if (fits) texts_ = bytes.substr(4 + size);
  if (!fits || texts_.empty() || texts_.back() != '\0' || find_invalid_utf8(texts_) != std::string_view::npos) {
    throw Error(ErrorCode::corrupt_bundle,
                std::string(name) + ": the Precompiled normalizer's map is damaged; export the bundle again");
  }
  for (std::size_t at = 4; at < 4 + size; at += 4) units_.push_back(little_endian(bytes, at));
}

std::uint32_t CharacterMap::unit(std::size_t at) const {
  if (at < units_.size()) return units_[at];
  throw Error(ErrorCode::corrupt_bundle,
              "the Precompiled normalizer's map points outside itself; export the bundle again");
}

bool CharacterMap::append_mapped(std::string_view part, std::string& out) const {
  std::size_t node = offset_of(unit(0));
  for (const char byte : part) {
    if (byte == '\0') return false;
    node ^= static_cast<unsigned char>(byte);
    const std::uint32_t here = unit(node);
    if (label_of(here) != static_cast<unsigned char>(byte)) return false;
    node ^= offset_of(here);
    if (!has_leaf(here)) continue;
    const std::size_t begin = value_of(unit(node));
    if (begin >= texts_.size()) (void)unit(units_.size());
    out += std::string_view(texts_).substr(begin, texts_.find('\0', begin) - begin);
    return true;
  }
  return false;
}

std::string CharacterMap::operator()(std::string_view text) const {
  constexpr std::size_t longest_grapheme = 5;
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at + grapheme_length(text, at);
    if (end - at <= longest_grapheme && append_mapped(text.substr(at, end - at), out)) {
      at = end;
      continue;
    }
    while (at < end) {
      const std::string_view character = text.substr(at, read_utf8(text, at).length);
      if (!append_mapped(character, out)) out += character;
      at += character.size();
    }
  }
  return out;
}

}  // namespace gavel::text
