#include <algorithm>
#include <cstring>

#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

namespace {

// A unigram model written by hand in the protocol-buffer wire format, so that the test needs no trainer.
constexpr char normal = 1, unknown = 2, control = 3, byte = 6;

std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string piece(const std::string& text, float score, char type) {
  std::string score_bytes(4, '\0');
  std::memcpy(score_bytes.data(), &score, 4);
  return field(1, field(1, text) + '\x15' + score_bytes + '\x18' + type);
}

std::string model() {
  std::string out = piece("<unk>", 0, unknown) + piece("<s>", 0, control) + piece("</s>", 0, control);
  for (int b = 0; b < 256; ++b) {
    const std::string digits = "0123456789ABCDEF";
    out += piece(
        std::string("<0x") + digits[static_cast<std::size_t>(b / 16)] + digits[static_cast<std::size_t>(b % 16)] + ">",
        0, byte);
  }
  for (const std::string text : {"▁", "a", "b", "▁a", "ab"}) out += piece(text, -1, normal);
  const std::string trainer = std::string{'\x18', 1} + "\x98\x02\x01";  // unigram, byte_fallback
  const std::string normalizer = field(1, "identity") + "\x18\x01\x20" + '\0' + "\x28\x01";
  return out + field(2, trainer) + field(3, normalizer);
}

std::shared_ptr<const gavel::Tokenizer> sentencepiece() {
  return gavel::Tokenizer::from_bytes(model(), "tokenizer.model");
}

}  // namespace

TEST_CASE("a SentencePiece model encodes and decodes", "[text]") {
  const auto tokenizer = sentencepiece();
  CHECK(tokenizer->size() == 264);
  CHECK(tokenizer->id("▁a") == 262);
  CHECK(tokenizer->id("nothing") == -1);
  CHECK(tokenizer->id("<s>") == 1);
  CHECK(tokenizer->encode("a a") == Ids{262, 262});
  CHECK(tokenizer->encode("é") == Ids{259, 3 + 0xC3, 3 + 0xA9});
  for (const std::string text : {"a b  ab", "漢字 a\n\tb", " a"}) {
    CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  }
}

TEST_CASE("SentencePiece tokens have bytes, and a stream joins them", "[text]") {
  const auto tokenizer = sentencepiece();
  CHECK(tokenizer->bytes(262) == " a");
  CHECK(tokenizer->bytes(3 + 0xE6) == "\xE6");
  CHECK(tokenizer->bytes(1).empty());
  gavel::StreamDecoder stream(tokenizer);
  CHECK(stream.push(262) == "a");
  CHECK(stream.push(262) == " a");
  CHECK(stream.push(3 + 0xC3).empty());
  CHECK(stream.push(3 + 0xA9) == "é");
  CHECK(gavel::StreamDecoder(tokenizer, true).push(262) == " a");
}

TEST_CASE("text never becomes a SentencePiece control token", "[text]") {
  const auto tokenizer = sentencepiece();
  const Ids ids = tokenizer->encode("<s>a</s>");
  CHECK(std::count(ids.begin(), ids.end(), 1) == 0);
  CHECK(std::count(ids.begin(), ids.end(), 2) == 0);
  CHECK(tokenizer->decode(ids) == "<s>a</s>");
  CHECK(tokenizer->decode({1, 262, 2}) == "a");
  CHECK(tokenizer->decode({1, 262, 2}, true) == "<s>a</s>");
}

TEST_CASE("bytes that are no SentencePiece model are refused", "[text]") {
  for (const std::string& bytes : {std::string("not a model"), std::string(), model().substr(0, 50)}) {
    const auto error = error_of([&] { (void)gavel::Tokenizer::from_bytes(bytes, "tokenizer.model"); });
    CHECK(error.code() == gavel::ErrorCode::corrupt_bundle);
  }
  const auto tokenizer = sentencepiece();
  CHECK(error_of([&] { (void)tokenizer->decode({264}); }).code() == gavel::ErrorCode::invalid_argument);
  CHECK(error_of([&] { (void)tokenizer->encode("a\xFF"); }).code() == gavel::ErrorCode::invalid_argument);
}
