#include <atomic>
#include <thread>

#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

TEST_CASE("byte-level BPE merges by rank and writes spaces into words", "[text]") {
  const auto tokenizer = open(byte_level());
  CHECK(tokenizer->size() == 261);
  CHECK(tokenizer->encode("ab ab") == Ids{256, 257});
  CHECK(tokenizer->encode("abc") == Ids{258});
  CHECK(tokenizer->encode(" abc") == Ids{257, 'c'});
  CHECK(tokenizer->encode("").empty());
  CHECK(tokenizer->decode({256, 257, 'c'}) == "ab abc");
  CHECK(tokenizer->id("abc") == 258);
  CHECK(tokenizer->id("Ġab") == 257);
  CHECK(tokenizer->id(" ab") == -1);
  CHECK(tokenizer->bytes(257) == " ab");
}

TEST_CASE("any text comes back as it was", "[text]") {
  const auto tokenizer = open(byte_level());
  for (const std::string text :
       {"x = \"naïve\"\t# 漢字 🙂\r\n", "  \n\n   ab  ", "\xF0\x9F\x91\xA9\xE2\x80\x8D", "\x01\x7F"}) {
    CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  }
}

TEST_CASE("merges may be written as pairs or as strings, before or after the vocabulary", "[text]") {
  Json json = byte_level();
  json["model"]["merges"] = {"a b", written(' ') + " ab", "ab c"};
  CHECK(open(json)->encode("ab abc") == Ids{256, 257, 'c'});
  // nlohmann writes members in the order of their names, so "model" comes before "pre_tokenizer": write another order.
  const std::string reordered = R"({"pre_tokenizer":)" + json["pre_tokenizer"].dump() + R"(,"decoder":)" +
                                json["decoder"].dump() + R"(,"model":{"vocab":)" + json["model"]["vocab"].dump() +
                                R"(,"merges":)" + json["model"]["merges"].dump() + R"(,"type":"BPE"}})";
  CHECK(gavel::Tokenizer::from_bytes(reordered, "tokenizer.json")->encode("ab abc") == Ids{256, 257, 'c'});
}

TEST_CASE("a long word without a space is merged like short ones", "[text]") {
  const auto tokenizer = open(byte_level());
  std::string text;
  Ids expected;
  for (int i = 0; i < 50'000; ++i) {
    text += "abcxab";
    expected.insert(expected.end(), {258, 'x', 256});
  }
  // Between letters there is no boundary, so all of it is one word; "ab" + "abc" do not merge.
  CHECK(tokenizer->encode(text) == expected);
}

TEST_CASE("ignore_merges keeps a word whole that is a token", "[text]") {
  Json json = byte_level();
  json["model"]["vocab"]["xyz"] = 300;
  CHECK(open(json)->encode("xyz") == Ids{'x', 'y', 'z'});
  json["model"]["ignore_merges"] = true;
  CHECK(open(json)->encode("xyz") == Ids{300});
}

TEST_CASE("byte fallback spells unknown characters in bytes", "[text]") {
  const auto tokenizer = open(byte_fallback());
  CHECK(tokenizer->encode("a b") == Ids{262, 259, 261});
  CHECK(tokenizer->encode("é") == Ids{259, 3 + 0xC3, 3 + 0xA9});
  CHECK(tokenizer->decode({262, 259, 261, 3 + 0xC3, 3 + 0xA9}) == "a bé");
  CHECK(tokenizer->decode(tokenizer->encode("  a 漢\nb")) == "  a 漢\nb");
  CHECK(tokenizer->bytes(262) == " a");
  CHECK(tokenizer->bytes(3 + 0xC3) == "\xC3");
}

TEST_CASE("without byte fallback unknown characters become the unknown token", "[text]") {
  Json json = byte_fallback();
  json["model"]["byte_fallback"] = false;
  CHECK(open(json)->encode("éèa") == Ids{259, 0, 260});
  json["model"]["fuse_unk"] = false;
  CHECK(open(json)->encode("éèa") == Ids{259, 0, 0, 260});
}

TEST_CASE("one tokenizer serves several threads", "[text]") {
  const auto tokenizer = open(byte_level());
  const std::string text = "ab abc  foo_bar(ab, 12) ab\n";
  const Ids expected = open(byte_level())->encode(text);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) wrong += tokenizer->encode(text) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
