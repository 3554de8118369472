#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

namespace {

std::vector<std::string> pushed(gavel::StreamDecoder& stream, const Ids& ids) {
  std::vector<std::string> out;
  for (const std::int32_t id : ids) out.push_back(stream.push(id));
  return out;
}

}  // namespace

TEST_CASE("a stream never splits a character", "[text]") {
  gavel::StreamDecoder stream(open(byte_level()));
  CHECK(pushed(stream, {'a', 0xE6, 0xBC, 0xA2, 0xF0, 0x9F, 0x99, 0x82, 256}) ==
        std::vector<std::string>{"a", "", "", "漢", "", "", "", "🙂", "ab"});
  CHECK(stream.finish().empty());
}

TEST_CASE("a stream gives what decoding gives, bytes that are no UTF-8 included", "[text]") {
  const auto tokenizer = open(byte_level());
  for (const Ids& ids : {Ids{0xE6, 'a', 0xFF, 0xC3}, Ids{0xF0, 0x9F, 0xF0, 0x9F}, Ids{0xE0, 0x80, 0x80},
                         Ids{0xC3, 0xA9}, Ids{256, 259, 257}}) {
    gavel::StreamDecoder stream(tokenizer);
    std::string text;
    for (const std::string& part : pushed(stream, ids)) text += part;
    text += stream.finish();
    CHECK(text == tokenizer->decode(ids));
  }
  CHECK(tokenizer->decode({0xE6, 0xBC}) == "\uFFFD");
}

TEST_CASE("a stream drops the space that the tokenizer puts before a text, and no other", "[text]") {
  const auto tokenizer = open(byte_fallback());
  gavel::StreamDecoder stream(tokenizer);
  CHECK(pushed(stream, {262, 262, 3 + 0xC3, 3 + 0xA9}) == std::vector<std::string>{"a", " a", "", "é"});
  gavel::StreamDecoder byte_stream(open(byte_level()));
  CHECK(byte_stream.push(257) == " ab");
}
