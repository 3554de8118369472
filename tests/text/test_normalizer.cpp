#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

namespace {

Json step(const std::string& type, Json members = Json::object()) {
  members["type"] = type;
  return members;
}

// What the tokenizer makes of a text before it looks for tokens.
std::string normal(const Json& normalizer, const std::string& text) {
  Json json = byte_level();
  json["normalizer"] = normalizer;
  const auto tokenizer = open(json);
  return tokenizer->decode(tokenizer->encode(text));
}

// SentencePiece's map, by hand: "a" becomes "xy", "é" becomes nothing. A double array of darts-clone: a unit's offset,
// XORed with its index and a byte, is the child's index; a leaf's value is a place in the texts.
std::string map_of_two() {
  std::vector<std::uint32_t> units(512, 0);
  const auto unit = [](std::uint32_t offset, std::uint32_t label, bool leaf) {
    return offset << 10U | (leaf ? 1U << 8U : 0U) | label;
  };
  const auto value = [](std::uint32_t place) { return 1U << 31U | place; };
  units[0] = unit(256, 0, false);
  units[256 ^ 'a'] = unit(1, 'a', true);
  units[256 ^ 'a' ^ 1] = value(0);
  units[256 ^ 0xC3] = unit(2, 0xC3, false);
  units[256 ^ 0xC3 ^ 2 ^ 0xA9] = unit(4, 0xA9, true);
  units[256 ^ 0xC3 ^ 2 ^ 0xA9 ^ 4] = value(3);
  std::string bytes;
  const auto put = [&](std::uint32_t number) {
    for (unsigned i = 0; i < 4; ++i) bytes += static_cast<char>(static_cast<unsigned char>(number >> 8U * i));
  };
  put(static_cast<std::uint32_t>(units.size() * 4));
  for (const std::uint32_t each : units) put(each);
  return bytes + "xy" + '\0' + '\0';
}

std::string base64(const std::string& bytes) {
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t block = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      block = block << 8U | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (unsigned i = 0; i < 4; ++i) {
      out += at + i > bytes.size() ? '=' : letters[block >> (18U - 6U * i) & 63U];
    }
  }
  return out;
}

}  // namespace

TEST_CASE("compatibility forms take characters apart and put them together", "[text]") {
  CHECK(normal(step("NFD"), "\u00E9\uFB01") == "e\u0301\uFB01");
  CHECK(normal(step("NFKD"), "\u00E9\uFB01") == "e\u0301fi");
  CHECK(normal(step("NFKC"), "e\u0301\uFB01") == "\u00E9fi");
  // U+32FF (Unicode 12.1) is newer than the reference's tables.
  CHECK(normal(step("NFKC"), "\u32FF") == "\u32FF");
}

TEST_CASE("Lowercase lowers each character by itself", "[text]") {
  CHECK(normal(step("Lowercase"), "AbC \u00C4\u03A3\u01C5") == "abc \u00E4\u03C3\u01C6");
  CHECK(normal(step("Lowercase"), "\u0130") == "i\u0307");
  CHECK(normal(step("Lowercase"), "\u1C89\U00010D50") == "\u1C8A\U00010D70");  // Unicode 16
}

TEST_CASE("Strip takes white space off either end", "[text]") {
  CHECK(normal(step("Strip", {{"strip_left", true}, {"strip_right", true}}), " \t\u3000a b\n ") == "a b");
  CHECK(normal(step("Strip", {{"strip_left", false}, {"strip_right", true}}), " a ") == " a");
  CHECK(normal(step("Strip", {{"strip_left", true}, {"strip_right", false}}), "  ").empty());
}

TEST_CASE("Replace takes a text or a pattern", "[text]") {
  const Json spaces = step("Replace", {{"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
  CHECK(normal(spaces, "a  b    c d") == "a b c d");
  CHECK(normal(step("Replace", {{"pattern", {{"String", "``"}}}, {"content", "\""}}), "``a`` b`") == "\"a\" b`");
  // An empty match is one too, but not where another match has just ended.
  CHECK(normal(step("Replace", {{"pattern", {{"Regex", "b*"}}}, {"content", "-"}}), "abc") == "-a-c-");
}

TEST_CASE("Precompiled replaces characters, and short clusters by what they begin with", "[text]") {
  const Json map = step("Precompiled", {{"precompiled_charsmap", base64(map_of_two())}});
  CHECK(normal(map, "b a") == "b xy");
  CHECK(normal(map, "b\u00E9c") == "bc");
  CHECK(normal(map, "a\u0301b") == "xyb");                              // one cluster of three bytes
  CHECK(normal(map, "a\u0301\u0301\u0301") == "xy\u0301\u0301\u0301");  // one of seven: character by character
  for (const std::string& bad : {std::string("AAA"), std::string("!"), std::string("===="), base64("\x04"),
                                 base64(map_of_two().substr(0, 99))}) {
    Json json = byte_level();
    json["normalizer"] = step("Precompiled", {{"precompiled_charsmap", bad}});
    CHECK(error_of([&] { (void)open(json); }).code() == gavel::ErrorCode::corrupt_bundle);
  }
}

TEST_CASE("steps are done in order", "[text]") {
  const Json steps = {step("Lowercase"), step("Replace", {{"pattern", {{"String", "a"}}}, {"content", "A"}}),
                      step("Prepend", {{"prepend", "> "}})};
  CHECK(normal(step("Sequence", {{"normalizers", steps}}), "ABA") == "> AbA");
}

TEST_CASE("NFC composes before words are split, as far as the reference knows Unicode", "[text]") {
  Json json = byte_level();
  json["normalizer"] = {{"type", "NFC"}};
  const auto tokenizer = open(json);
  CHECK(tokenizer->decode(tokenizer->encode("e\u0301")) == "\u00E9");
  CHECK(tokenizer->decode(tokenizer->encode("\u1100\u1161")) == "\uAC00");
  // A mark of Unicode 14 stays where it is; of two older ones the lower comes first.
  CHECK(tokenizer->decode(tokenizer->encode("a\u0898\u0323")) == "a\u0898\u0323");
  CHECK(tokenizer->decode(tokenizer->encode("q\u0301\u0323")) == "q\u0323\u0301");
}
