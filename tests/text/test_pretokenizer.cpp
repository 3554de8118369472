#include "catch.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;

namespace {

Json byte_level_step(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

// A byte-level tokenizer in which any run of "a" is one token, so that ids show where words were split.
std::shared_ptr<const gavel::Tokenizer> splitting(const Json& steps) {
  Json json = byte_level();
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  json["model"]["vocab"]["12"] = 300;
  json["model"]["merges"].push_back({"1", "2"});
  return open(json);
}

Json split(const std::string& regex, const std::string& behavior = "Isolated", bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}, {"invert", invert}};
}

}  // namespace

TEST_CASE("digits are split one by one or kept in runs", "[text]") {
  const Json one = {{"type", "Digits"}, {"individual_digits", true}};
  const Json runs = {{"type", "Digits"}, {"individual_digits", false}};
  CHECK(splitting({one, byte_level_step(true)})->encode("12") == Ids{'1', '2'});
  CHECK(splitting({runs, byte_level_step(true)})->encode("x12") == Ids{'x', 300});
}

TEST_CASE("a Split pattern isolates or removes its matches, or what lies between them", "[text]") {
  CHECK(splitting({split("1"), byte_level_step(false)})->encode("12") == Ids{'1', '2'});
  CHECK(splitting({split("-", "Removed"), byte_level_step(false)})->encode("1-12") == Ids{'1', 300});
  CHECK(splitting({split(R"(\d+)", "Removed", true), byte_level_step(false)})->encode("x12y") == Ids{300});
  const Json literal = {{"type", "Split"}, {"pattern", {{"String", "."}}}, {"behavior", "Removed"}, {"invert", false}};
  CHECK(splitting({literal, byte_level_step(false)})->encode("1.12") == Ids{'1', 300});
}

TEST_CASE("a Split's matches go with what lies before or behind them", "[text]") {
  // "-a" and "a-" are tokens; which of them occurs shows where the text was split.
  Json json = byte_level();
  json["model"]["vocab"]["-a"] = 300;
  json["model"]["vocab"]["a-"] = 301;
  json["model"]["vocab"]["--"] = 302;
  json["model"]["merges"] = {"- a", "a -", "- -"};
  const auto ids = [&](const std::string& behavior, const std::string& text) {
    json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split("-", behavior), byte_level_step(false)}}};
    return open(json)->encode(text);
  };
  CHECK(ids("MergedWithPrevious", "a-a") == Ids{301, 'a'});
  CHECK(ids("MergedWithPrevious", "a--a") == Ids{301, '-', 'a'});
  CHECK(ids("MergedWithPrevious", "-a") == Ids{'-', 'a'});
  CHECK(ids("MergedWithNext", "a-a") == Ids{'a', 300});
  CHECK(ids("MergedWithNext", "a--a") == Ids{'a', '-', 300});
  CHECK(ids("MergedWithNext", "a-") == Ids{'a', '-'});
  CHECK(ids("Contiguous", "a--a") == Ids{'a', 302, 'a'});
  CHECK(ids("Isolated", "a--a") == Ids{'a', '-', '-', 'a'});
}

TEST_CASE("patterns mean what they mean to the reference's engine", "[text]") {
  // U+180E is no white space (PCRE2 says it is), and U+31350 is a letter (newer than PCRE2's tables).
  const auto spaces = splitting({split(R"(\s+)", "Removed"), byte_level_step(false)});
  CHECK(spaces->encode("1\u180E2").size() == 5);
  CHECK(spaces->encode("1\u00A0\u30002") == Ids{'1', '2'});
  CHECK(splitting({split(R"(\p{L}+)", "Removed"), byte_level_step(false)})->encode("1\U000313502") == Ids{'1', '2'});
  CHECK(splitting({split(R"([^\s\p{L}-]+)"), byte_level_step(false)})->encode("12-12") == Ids{300, '-', 300});
}

TEST_CASE("patterns that cannot be translated are refused by name", "[text]") {
  for (const std::string pattern : {R"(\w+)", R"(\bx)", R"(\p{Han})", "[a[b]]", "[a&&b]", "(?<n>a)", "(a", R"(\h)"}) {
    const auto error = error_of([&] { (void)splitting({split(pattern), byte_level_step(false)}); });
    CHECK(error.code() == gavel::ErrorCode::unsupported);
    CHECK(mentions(error, pattern));
  }
}

TEST_CASE("ByteLevel puts a space first where it is told to", "[text]") {
  Json json = byte_level();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  CHECK(open(json)->encode("ab") == Ids{257});
  CHECK(open(json)->encode(" ab") == Ids{257});
}

TEST_CASE("Metaspace marks spaces", "[text]") {
  Json json = byte_fallback();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
  CHECK(open(json)->encode("a a") == Ids{262, 262});
  CHECK(open(json)->encode("<s>a", true) == Ids{1, 260});
  json["pre_tokenizer"]["prepend_scheme"] = "never";
  CHECK(open(json)->encode("a a") == Ids{260, 262});
}
