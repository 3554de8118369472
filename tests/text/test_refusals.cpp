#include <filesystem>

#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;
using gavel::ErrorCode;

TEST_CASE("a part this build does not know is refused by name", "[text]") {
  const std::vector<std::pair<std::string, Json>> changes = {
      {"normalizer", {{"type", "StripAccents"}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"pre_tokenizer", {{"type", "Digits"}, {"individual_digits", true}, {"novelty", 1}}},
      {"decoder", {{"type", "WordPiece"}}},
      {"post_processor", {{"type", "Novelty"}}},
      {"model", {{"type", "WordPiece"}, {"vocab", Json::object()}}},
      {"novelty", 1},
  };
  for (const auto& [part, value] : changes) {
    Json json = byte_level();
    json[part] = value;
    const auto error = error_of([&json = json] { (void)open(json); });
    CHECK(error.code() == ErrorCode::unsupported);
    CHECK(mentions(error, part));
  }
  for (const auto& [option, value] : std::vector<std::pair<std::string, Json>>{
           {"dropout", 0.1}, {"continuing_subword_prefix", "##"}, {"end_of_word_suffix", "</w>"}}) {
    Json json = byte_level();
    json["model"][option] = value;
    const auto error = error_of([&json = json] { (void)open(json); });
    CHECK(error.code() == ErrorCode::unsupported);
    CHECK(mentions(error, option));
  }
}

TEST_CASE("a file that contradicts itself is refused", "[text]") {
  std::vector<Json> files(6, byte_level());
  files[0]["model"]["merges"].push_back({"a", "nowhere"});
  files[1]["model"]["vocab"]["extra"] = 7;
  files[2]["model"].erase("vocab");
  files[3].erase("model");
  files[4]["added_tokens"].push_back(added(259, "<|other|>", true));
  files[5]["model"]["vocab"]["extra"] = -1;
  for (const Json& json : files) {
    CHECK(error_of([&] { (void)open(json); }).code() == ErrorCode::corrupt_bundle);
  }
}

TEST_CASE("bytes that are no JSON are refused wherever they end", "[text]") {
  const std::string whole = byte_level().dump();
  for (std::size_t size = 0; size < whole.size(); size += 97) {
    const auto error = error_of([&] { (void)gavel::Tokenizer::from_bytes(whole.substr(0, size), "tokenizer.json"); });
    CHECK(error.code() == ErrorCode::corrupt_bundle);
  }
  for (const std::string bytes : {"{\"model\":\xFF}", "[]", "{} x", "{\"model\":{\"vocab\":{\"a\":1,}}}"}) {
    CHECK(error_of([&] { (void)gavel::Tokenizer::from_bytes(bytes, "tokenizer.json"); }).code() ==
          ErrorCode::corrupt_bundle);
  }
}

TEST_CASE("a missing or unknown file is refused", "[text]") {
  CHECK(error_of([] { (void)gavel::Tokenizer::open("/nowhere/tokenizer.json"); }).code() == ErrorCode::not_found);
  CHECK(error_of([] { (void)gavel::Tokenizer::from_bytes("", "vocab.txt"); }).code() == ErrorCode::unsupported);
}

TEST_CASE("text that is not UTF-8 is refused with the first bad byte", "[text]") {
  const auto tokenizer = open(byte_level());
  const std::vector<std::pair<std::string, std::string>> texts = {
      {"abc\xFFx", "byte 3"},      {"aaaaaaaaaaaa\xC3", "byte 12"}, {"\xC0\x80", "byte 0"},
      {"x\xED\xA0\x80", "byte 1"}, {"\xF4\x90\x80\x80", "byte 0"},  {"é\x80", "byte 2"},
  };
  for (const auto& [text, where] : texts) {
    const auto error = error_of([&, &text = text] { (void)tokenizer->encode(text); });
    CHECK(error.code() == ErrorCode::invalid_argument);
    CHECK(mentions(error, where + " "));
  }
}

TEST_CASE("an id outside the vocabulary is refused", "[text]") {
  Json json = byte_level();
  json["model"]["vocab"]["far"] = 270;
  const auto tokenizer = open(json);
  CHECK(tokenizer->size() == 271);
  for (const std::int32_t id : {-1, 265, 271, 1 << 30}) {
    CHECK(error_of([&] { (void)tokenizer->decode({id}); }).code() == ErrorCode::invalid_argument);
    CHECK(error_of([&] { (void)tokenizer->bytes(id); }).code() == ErrorCode::invalid_argument);
  }
}
