#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

TEST_CASE("text never becomes a special token unless asked to", "[text]") {
  const auto tokenizer = open(byte_level());
  const Ids plain = tokenizer->encode("ab<|end|>");
  CHECK(plain == Ids{256, '<', '|', 'e', 'n', 'd', '|', '>'});
  CHECK(tokenizer->encode("ab<|end|>", true) == Ids{256, 259});
  CHECK(tokenizer->decode(plain) == "ab<|end|>");
}

TEST_CASE("text never becomes a special token by merging either", "[text]") {
  Json json = byte_level();
  json["added_tokens"].push_back(added(258, "abc", true));
  json["model"]["ignore_merges"] = true;
  CHECK(open(json)->encode("abc") == Ids{256, 'c'});
  CHECK(open(json)->encode("abc", true) == Ids{258});
}

TEST_CASE("added tokens that are not special are found in any text", "[text]") {
  const auto tokenizer = open(byte_level());
  CHECK(tokenizer->encode("ab<tool>ab") == Ids{256, 260, 256});
  CHECK(tokenizer->decode({256, 260}) == "ab<tool>");
  CHECK(tokenizer->bytes(260) == "<tool>");
  CHECK(tokenizer->id("<tool>") == 260);
}

TEST_CASE("special tokens are left out of decoded text unless asked for", "[text]") {
  const auto tokenizer = open(byte_level());
  CHECK(tokenizer->decode({256, 259}) == "ab");
  CHECK(tokenizer->decode({256, 259}, true) == "ab<|end|>");
  CHECK(tokenizer->bytes(259).empty());
}

TEST_CASE("of several added tokens the longest is found", "[text]") {
  Json json = byte_level();
  json["added_tokens"].push_back(added(261, "<tool>s", false));
  CHECK(open(json)->encode("<tool>s<tool>") == Ids{261, 260});
}

TEST_CASE("added tokens take white space along and keep out of words where told to", "[text]") {
  Json json = byte_level();
  Json& tool = json["added_tokens"][1];
  tool["lstrip"] = true;
  tool["rstrip"] = true;
  CHECK(open(json)->encode("a \u00A0<tool>\n a") == Ids{'a', 260, 'a'});
  tool = added(260, "go", false);
  tool["single_word"] = true;
  CHECK(open(json)->encode("go!") == Ids{260, '!'});
  CHECK(open(json)->encode("gone") == Ids{'g', 'o', 'n', 'e'});
  CHECK(open(json)->encode("égo").size() == 4);
}

TEST_CASE("normalised added tokens are found in normalised text", "[text]") {
  Json json = byte_level();
  json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"][1] = added(260, "\u00E9", false);
  CHECK(open(json)->encode("e\u0301").size() == 2);
  json["added_tokens"][1]["normalized"] = true;
  CHECK(open(json)->encode("e\u0301") == Ids{260});
}
