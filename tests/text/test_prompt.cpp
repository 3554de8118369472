#include <algorithm>

#include "catch.hpp"
#include "gavel/prompt.hpp"
#include "tokenizer_json.hpp"

using namespace tokenizer_json;
using gavel::Prompt;
using Kind = gavel::Segment::Kind;

namespace {

const Prompt judge_prompt = {{Kind::token, "", 259},     {Kind::text, "Task: a", -1}, {Kind::slot, "prompt", -1},
                             {Kind::text, "Code: ", -1}, {Kind::slot, "code", -1},    {Kind::token, "", 259}};

}  // namespace

TEST_CASE("filling joins neighbouring texts", "[text]") {
  const auto pieces = gavel::fill(judge_prompt, {{"prompt", "b"}, {"code", ""}});
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0].token == 259);
  CHECK(pieces[1].text == "Task: abCode: ");
  CHECK(pieces[1].token == -1);
  CHECK(pieces[2].token == 259);
}

TEST_CASE("a slot without a text is refused by name", "[text]") {
  const auto error = error_of([] { (void)gavel::fill(judge_prompt, {{"prompt", "b"}}); });
  CHECK(error.code() == gavel::ErrorCode::invalid_argument);
  CHECK(mentions(error, "code"));
}

TEST_CASE("a prompt is cut before the first segment with a slot", "[text]") {
  const auto [shared, rest] = gavel::split_before(judge_prompt, "code");
  CHECK(shared.size() == 4);
  REQUIRE(rest.size() == 2);
  CHECK(rest.front().value == "code");
  CHECK(error_of([] { (void)gavel::split_before(judge_prompt, "Task: a"); }).code() ==
        gavel::ErrorCode::invalid_argument);
}

TEST_CASE("an encoded prompt holds special tokens from its segments alone", "[text]") {
  const auto tokenizer = open(byte_level());
  const auto ids = gavel::encode(*tokenizer, gavel::fill(judge_prompt, {{"prompt", "b"}, {"code", "<|end|>"}}));
  CHECK(ids.front() == 259);
  CHECK(ids.back() == 259);
  CHECK(std::count(ids.begin(), ids.end(), 259) == 2);
  // "a" of the template and "b" of the task are one word, as the reference would encode them.
  CHECK(std::count(ids.begin(), ids.end(), 257) == 1);
  CHECK(error_of([&] { (void)gavel::encode(*tokenizer, {{"", 999}}); }).code() == gavel::ErrorCode::invalid_argument);
}
