#include <chrono>

#include "catch.hpp"
#include "text/json_reader.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

TEST_CASE("Unigram finds the likeliest segmentation", "[text]") {
  const auto tokenizer = open(unigram());
  // ▁ab (-3) is better than ▁a b (-1 - 3) and ▁ a b (-2 - 2.5 - 3).
  CHECK(tokenizer->encode("ab") == Ids{7});
  CHECK(tokenizer->encode("a b") == Ids{4, 3, 6});
  CHECK(tokenizer->decode({4, 3, 6}) == "a b");
  CHECK(tokenizer->id("▁ab") == 7);
}

TEST_CASE("of two segmentations of one score the one found first is taken", "[text]") {
  Json json = unigram();
  json["model"]["vocab"][7][1] = -4.0;  // ▁ab, as good as ▁a b
  // At the end of "ab" the token that begins earliest is offered first.
  CHECK(open(json)->encode("ab") == Ids{7});
}

TEST_CASE("scores are read as the reference reads them", "[text]") {
  const auto number = [](std::string_view written) { return gavel::text::JsonReader(written, "test").number(); };
  CHECK(number("-2.5") == -2.5);
  CHECK(number("7") == 7.0);
  CHECK(number("-1.5e-7") == -15 / 1e8);
  CHECK(number("2E+3") == 2000.0);
  // 17 digits: a division of the digits by a power of ten, which is not the double nearest to the number.
  CHECK(number("-12.458033897794039") == -12458033897794039.0 / 1e15);
  CHECK(number("-12.458033897794039") != -12.458033897794039);
  // Digits beyond 64 bits are left out behind the point and count before it.
  CHECK(number("0.123456789012345678901234") == 12345678901234567890.0 / 1e20);
  CHECK(number("123456789012345678901234") == 12345678901234567890.0 * 1e4);
  for (const std::string_view bad : {"x", "-", "1e999", ".5"}) {
    CHECK(error_of([&] { (void)number(bad); }).code() == gavel::ErrorCode::corrupt_bundle);
  }
}

TEST_CASE("unknown characters are one token, or their bytes", "[text]") {
  Json json = unigram();
  CHECK(open(json)->encode("xyz a") == Ids{3, 0, 4});
  CHECK(open(json)->decode({3, 0, 4}, true) == "<unk> a");
  json["model"]["byte_fallback"] = true;
  CHECK(open(json)->encode("xyz a") == Ids{3, 0, 4});  // without byte tokens there is nothing to fall back on
  for (const std::string byte : {"<0xC3>", "<0xA9>"}) json["model"]["vocab"].push_back(Json::array({byte, -20.0}));
  CHECK(open(json)->encode("é") == Ids{3, 8, 9});
}

TEST_CASE("text never becomes a special token of a Unigram model", "[text]") {
  Json json = unigram();
  const auto tokenizer = open(json);
  for (const std::int32_t id : tokenizer->encode("a </s> <pad>")) CHECK(id != 1);
  CHECK(tokenizer->encode("a </s>", true) == Ids{4, 1});
}

TEST_CASE("a Metaspace decoder leaves the space out before the first token", "[text]") {
  const auto tokenizer = open(unigram());
  CHECK(tokenizer->decode({4, 4}) == "a a");
  CHECK(tokenizer->decode({1, 4, 4}) == "a a");
  CHECK(tokenizer->decode({1, 4, 4}, true) == "</s> a a");
  gavel::StreamDecoder stream(tokenizer);
  CHECK(stream.push(1).empty());
  CHECK(stream.push(4) == "a");
  CHECK(stream.push(4) == " a");
}

TEST_CASE("older files do not name their model's type", "[text]") {
  Json json = unigram();
  json["model"].erase("type");
  CHECK(open(json)->encode("a b") == open(unigram())->encode("a b"));
  json = byte_level();
  json["model"].erase("type");
  CHECK(open(json)->encode("ab") == Ids{256});
}

TEST_CASE("a Unigram model that contradicts itself is refused", "[text]") {
  std::vector<Json> files(4, unigram());
  files[0]["model"]["vocab"].push_back(Json::array({"a", -1.0}));
  files[1]["model"]["unk_id"] = 99;
  files[2]["model"]["vocab"].push_back(Json::array({"c"}));
  files[3]["model"]["vocab"] = Json::array();
  for (const Json& json : files) {
    CHECK(error_of([&] { (void)open(json); }).code() == gavel::ErrorCode::corrupt_bundle);
  }
}

TEST_CASE("a long line takes time in proportion to its length", "[text]") {
  const auto tokenizer = open(unigram());
  const auto seconds = [&](std::size_t size) {
    const std::string line(size, 'a');
    const auto start = std::chrono::steady_clock::now();
    CHECK(tokenizer->encode(line).size() == size);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  (void)seconds(1000);
  // Ten times the length; quadratic time would be a hundred times as long.
  CHECK(seconds(1'000'000) < 40 * seconds(100'000));
}
