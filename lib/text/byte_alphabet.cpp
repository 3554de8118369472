#include "byte_alphabet.hpp"

#include <array>

#include "utf8.hpp"

namespace gavel::text {

namespace {

constexpr std::size_t alphabet_end = 0x100 + 68;

// Printable Latin-1 stands for itself; the other 68 bytes, in order, for U+0100 and up.
constexpr std::array<std::int16_t, alphabet_end> byte_by_character() {
  std::array<std::int16_t, alphabet_end> table{};
  for (auto& entry : table) entry = -1;
  std::size_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    table[printable ? byte : next++] = static_cast<std::int16_t>(byte);
  }
  return table;
}

constexpr auto table = byte_by_character();

}  // namespace

std::optional<std::string> bytes_of_written(std::string_view written) {
  std::string out;
  for (std::size_t at = 0; at < written.size();) {
    const Utf8Step step = read_utf8(written, at);
    if (step.kind != Utf8Step::Kind::valid || step.code >= alphabet_end || table[step.code] < 0) return std::nullopt;
    out.push_back(static_cast<char>(static_cast<unsigned char>(table[step.code])));
    at += step.length;
  }
  return out;
}

}  // namespace gavel::text
