#include "utf8.hpp"

#include <cstring>

namespace gavel::text {

namespace {

// What may follow a first byte (Unicode, table 3-7): how many bytes, and the range of the second.
struct Lead {
  std::uint8_t following, low, high;
};

constexpr Lead lead_of(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  if (byte >= 0xF1 && byte <= 0xF3) return {3, 0x80, 0xBF};
  return {0, 0, 0};
}

unsigned char byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

}  // namespace

Utf8Step read_utf8(std::string_view bytes, std::size_t at) noexcept {
  const unsigned char first = byte_at(bytes, at);
  if (first < 0x80) return {Utf8Step::Kind::valid, 1, first};
  const Lead lead = lead_of(first);
  if (lead.following == 0) return {Utf8Step::Kind::invalid, 1, 0};
  char32_t code = first & (0x3FU >> lead.following);
  for (std::uint8_t i = 1; i <= lead.following; ++i) {
    if (at + i == bytes.size()) return {Utf8Step::Kind::truncated, i, 0};
    const unsigned char next = byte_at(bytes, at + i);
    const bool fits = i == 1 ? next >= lead.low && next <= lead.high : next >= 0x80 && next <= 0xBF;
    if (!fits) return {Utf8Step::Kind::invalid, i, 0};
    code = (code << 6) | (next & 0x3FU);
  }
  return {Utf8Step::Kind::valid, static_cast<std::uint8_t>(lead.following + 1), code};
}

std::size_t find_invalid_utf8(std::string_view bytes) noexcept {
  constexpr std::uint64_t high_bits = 0x8080808080808080ULL;
  std::size_t at = 0;
  while (at < bytes.size()) {
    // Nearly all code is ASCII: step over eight such bytes at once.
    if (at + 8 <= bytes.size()) {
      std::uint64_t block = 0;
      std::memcpy(&block, bytes.data() + at, 8);
      if ((block & high_bits) == 0) {
        at += 8;
        continue;
      }
    }
    const Utf8Step step = read_utf8(bytes, at);
    if (step.kind != Utf8Step::Kind::valid) return at;
    at += step.length;
  }
  return std::string_view::npos;
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

std::size_t append_lossy_utf8(std::string& out, std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const Utf8Step step = read_utf8(bytes, at);
    if (step.kind == Utf8Step::Kind::truncated) break;
    out += step.kind == Utf8Step::Kind::valid ? bytes.substr(at, step.length) : replacement_character;
    at += step.length;
  }
  return at;
}

std::string lossy_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  if (append_lossy_utf8(out, bytes) < bytes.size()) out += replacement_character;
  return out;
}

}  // namespace gavel::text
