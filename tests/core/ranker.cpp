#include "gavel/ranker.hpp"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "gavel/error.hpp"

using namespace gavel;

namespace {

/// Knows the probability of each text, and counts what it was asked.
struct FakeJudge {
  std::string name;
  std::map<std::string, double> scores;
  std::shared_ptr<std::vector<std::string>> asked = std::make_shared<std::vector<std::string>>();
  bool trained = true;

  [[nodiscard]] JudgeInfo info() const { return {name, "fake", trained, "d1g3st"}; }
  [[nodiscard]] std::vector<Verdict> judge(const Task&, const std::vector<Candidate>& candidates, const Cancel&) const {
    std::vector<Verdict> verdicts;
    for (const Candidate& candidate : candidates) {
      asked->push_back(candidate.text);
      const double p = scores.at(candidate.text);
      verdicts.push_back({p, std::nullopt,
                          p > 0.5   ? Decision::correct
                          : p < 0.5 ? Decision::wrong
                                    : Decision::abstain});
    }
    return verdicts;
  }
};

struct BrokenJudge {
  std::vector<Verdict> verdicts;
  [[nodiscard]] JudgeInfo info() const { return {"broken", "fake", true, ""}; }
  [[nodiscard]] std::vector<Verdict> judge(const Task&, const std::vector<Candidate>&, const Cancel&) const {
    if (verdicts.empty()) throw std::runtime_error("no connection");
    return verdicts;
  }
};

Candidate candidate(std::string text, std::vector<float> logprobs = {}) {
  Candidate result;
  result.text = std::move(text);
  result.logprobs = std::move(logprobs);
  return result;
}

const Task task{"class A {", Language::java, Prompting::completion, "t1"};

std::vector<int> order(const Ranking& ranking) {
  std::vector<int> indices;
  for (const Ranked& ranked : ranking.ranked) indices.push_back(ranked.candidate.index);
  return indices;
}

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::internal;
}

}  // namespace

TEST_CASE("candidates are ranked by score, ties by likelihood, then by order", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a", {{"x", 0.5}, {"y", 0.9}, {"z", 0.5}, {"v", 0.5}, {"w", 0.5}}});
  const Ranking ranking = team.rank(
      task, {candidate("x"), candidate("y", {-9}), candidate("z", {-2, -1}), candidate("v", {-1, -1}), candidate("w")});
  CHECK(order(ranking) == std::vector<int>{1, 3, 2, 0, 4});
  CHECK(ranking.best().score == 0.9);
  CHECK(ranking.best().verdicts.at(0).decision == Decision::correct);
  CHECK(ranking.ranked[1].verdicts.at(0).decision == Decision::abstain);
  CHECK(ranking.reason ==
        "Candidate 1 has the highest score, 0.900 (mean_probability of 1 judge), ahead of candidate 3 with 0.500.");
  CHECK(ranking.judge_seconds.size() == 1);
}

TEST_CASE("the same programs are judged once and count as many", "[core]") {
  const FakeJudge judge{"a", {{"return 1;", 0.8}, {"return 2;", 0.3}}};
  Ranker team;
  team.add(judge);
  const Ranking ranking = team.rank(task, {candidate("return 2;"), candidate("return 1;", {-2}),
                                           candidate("return  1; // one", {-1}), candidate("return\n1;", {-3})});
  CHECK(*judge.asked == std::vector<std::string>{"return 2;", "return 1;"});
  CHECK(order(ranking) == std::vector<int>{2, 1, 3, 0});
  for (int i = 0; i < 3; ++i) {
    const Ranked& ranked = ranking.ranked[static_cast<std::size_t>(i)];
    CHECK(ranked.multiplicity == 3);
    CHECK(ranked.representative == 1);
    CHECK(ranked.score == 0.8);
  }
  CHECK(ranking.ranked[3].multiplicity == 1);
  CHECK_THAT(ranking.reason, ContainsSubstring("3 candidates are this program"));

  const Ranking one = team.rank(task, {candidate("return 1;"), candidate("return 1 ;")});
  CHECK_THAT(one.reason, ContainsSubstring("All 2 candidates are the same program"));
}

TEST_CASE("a blank candidate is wrong and shown to no judge", "[core]") {
  const FakeJudge judge{"a", {{"x();", 0.3}}};
  Ranker team;
  team.add(judge);
  // The comment alone has the same normal form as the blank one, which stands first.
  const Ranking ranking = team.rank(task, {candidate(" \n"), candidate("x();"), candidate("// nothing")});
  REQUIRE(*judge.asked == std::vector<std::string>{"x();"});
  REQUIRE(order(ranking) == std::vector<int>{1, 0, 2});
  REQUIRE(ranking.ranked[1].verdicts.at(0).decision == Decision::wrong);
  REQUIRE(ranking.ranked[2].score == 0.0);
  const Ranking blank = team.rank(task, {candidate(""), candidate("\t")});
  REQUIRE(blank.ranked.size() == 2);
  REQUIRE(judge.asked->size() == 1);
}

TEST_CASE("the reason names what decided", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a", {{"x", 0.5}, {"y", 0.5}, {"z", 0.5}}, {std::make_shared<std::vector<std::string>>()}, false});
  CHECK(
      team.rank(task, {candidate("x", {-2}), candidate("y", {-1}), candidate("z", {-3})}).reason ==
      "Candidate 1 has the highest score, 0.500 (mean_probability of 1 judge), which 2 other distinct candidates have "
      "as well; its mean log-probability of -1.000 decided (untrained judge: \"a\").");
  CHECK_THAT(team.rank(task, {candidate("x"), candidate("y")}).reason,
             ContainsSubstring("1 other distinct candidate has as well; it came first"));
  CHECK_THAT(team.rank(task, {candidate("x")}).reason, ContainsSubstring("Candidate 0 is the only one"));
}

TEST_CASE("a team's judges are aggregated as asked", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a", {{"x", 0.6}, {"y", 0.9}}}).add(FakeJudge{"b", {{"x", 0.6}, {"y", 0.1}}});
  const std::vector<Candidate> candidates{candidate("x"), candidate("y")};
  CHECK(team.rank(task, candidates).best().candidate.index == 0);
  CHECK(team.rank(task, candidates, RankOptions{Aggregation::maximum, {}}).best().candidate.index == 1);
  CHECK(team.rank(task, candidates, RankOptions{Aggregation::vote, {}}).best().score == 1);
  CHECK(team.rank(task, candidates, RankOptions{Aggregation::mean_probability, {3, 1}}).best().candidate.index == 1);
  CHECK(team.rank(task, candidates).best().verdicts.size() == 2);
  CHECK(code_of([&] {
          static_cast<void>(team.rank(task, candidates, RankOptions{Aggregation::vote, {1}}));
        }) == ErrorCode::invalid_argument);
}

TEST_CASE("without judges the likelihood decides", "[core]") {
  Ranker team;
  const Ranking ranking =
      team.rank(task, {candidate("x", {-2}), candidate("y", {-1}), candidate("z"), candidate("w", {NAN})});
  CHECK(order(ranking) == std::vector<int>{1, 0, 2, 3});
  CHECK(ranking.best().score == Approx(std::exp(-1.0)));
  CHECK_THAT(ranking.reason, ContainsSubstring("no judge was asked"));
  CHECK_THAT(team.rank(task, {candidate("x"), candidate("y")}).reason, ContainsSubstring("came first"));
  CHECK(code_of([&] {
          static_cast<void>(team.rank(task, {candidate("x")}, RankOptions{Aggregation::vote, {1}}));
        }) == ErrorCode::invalid_argument);
}

TEST_CASE("a stacked team adds log-odds and the log-probability", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a", {{"x", 0.5}, {"y", 0.5}, {"z", 0.5}}});
  const RankOptions stacked{Aggregation::stacked, {1}, {.bias = 5, .logprob_weight = 2, .logprob_mean = -1}};
  const std::vector<Candidate> candidates{candidate("x", {-1.5}), candidate("y"), candidate("z", {-0.5}),
                                          candidate(" ", {-0.1F})};
  const Ranking ranking = team.rank(task, candidates, stacked);
  CHECK(order(ranking) == std::vector<int>{2, 1, 0, 3});
  CHECK(ranking.ranked[0].score == Approx(1 / (1 + std::exp(-6.0))));
  CHECK(ranking.ranked[1].score == Approx(1 / (1 + std::exp(-5.0))));  // no log-probability: an average one
  CHECK(ranking.ranked[2].score == Approx(1 / (1 + std::exp(-4.0))));
  CHECK(ranking.ranked[3].score == 0);  // blank, whatever the bias
  const auto json = nlohmann::json::parse(ranking.to_json());
  CHECK(json["options"] ==
        nlohmann::json({{"aggregation", "stacked"},
                        {"weights", {1.0}},
                        {"stacking", {{"bias", 5.0}, {"logprob_weight", 2.0}, {"logprob_mean", -1.0}}}}));
  CHECK_THROWS_WITH(team.rank(task, candidates, RankOptions{Aggregation::stacked, {}}), ContainsSubstring("weights"));
  CHECK_THROWS_WITH(Ranker().rank(task, candidates, RankOptions{Aggregation::stacked, {}}),
                    ContainsSubstring("add the judges"));
}

TEST_CASE("a team says who is in it and how it ranks", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a", {}}).add(FakeJudge{"b", {}});
  REQUIRE(team.judges().size() == 2);
  CHECK(team.judges()[1].name == "b");
  CHECK(!team.model());
  CHECK(team.options().aggregation == Aggregation::mean_probability);
  CHECK(team.options().weights.empty());
}

TEST_CASE("indices are kept where they tell candidates apart", "[core]") {
  Ranker team;
  std::vector<Candidate> candidates{candidate("x"), candidate("x"), candidate("y")};
  candidates[0].index = 7;
  candidates[1].index = 3;
  candidates[2].index = 5;
  const Ranking ranking = team.rank(task, candidates);
  CHECK(order(ranking) == std::vector<int>{7, 3, 5});
  CHECK(ranking.ranked[1].representative == 7);
}

TEST_CASE("a judge that fails is named and leaves the team usable", "[core]") {
  const std::vector<Candidate> candidates{candidate("x"), candidate("y")};
  CHECK_THROWS_WITH(Ranker().add(BrokenJudge{}).rank(task, candidates), "no connection");
  for (const std::vector<Verdict>& verdicts :
       {std::vector<Verdict>(1), std::vector<Verdict>(3), std::vector<Verdict>{{NAN, {}, {}}, {}},
        std::vector<Verdict>{{}, {1.5, {}, {}}}}) {
    Ranker team;
    team.add(BrokenJudge{verdicts});
    CHECK_THROWS_WITH(team.rank(task, candidates), ContainsSubstring("judge \"broken\""));
    CHECK_THROWS_AS(team.rank(task, candidates), Error);
  }
  CHECK(code_of([] { static_cast<void>(Ranker().rank(task, {})); }) == ErrorCode::invalid_argument);
}

TEST_CASE("ranking can be cancelled", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a", {{"x", 0.5}}});
  std::stop_source source;
  source.request_stop();
  CHECK(code_of([&] {
          static_cast<void>(team.rank(task, {candidate("x")}, {}, {source.get_token(), {}}));
        }) == ErrorCode::cancelled);
  const Cancel late{{}, std::chrono::steady_clock::now() - std::chrono::seconds(1)};
  CHECK(code_of([&] { static_cast<void>(team.rank(task, {candidate("x")}, {}, late)); }) == ErrorCode::cancelled);
  CHECK(team.rank(task, {candidate("x")}).ranked.size() == 1);
}

TEST_CASE("what a judge explains is in the ranking and its record", "[core]") {
  struct Reader {
    [[nodiscard]] JudgeInfo info() const { return {"reader", "fake", true, "", {"wrong", "correct"}}; }
    [[nodiscard]] std::vector<Verdict> judge(const Task&, const std::vector<Candidate>& candidates,
                                             const Cancel&) const {
      return std::vector<Verdict>(candidates.size(),
                                  {0.75, std::nullopt, Decision::correct, {0.25, 0.75}, "reads \xFFwell", 7});
    }
  };
  Ranker team;
  team.add(Reader{});
  const Ranking ranking = team.rank(task, {candidate("x"), candidate(" ")});
  CHECK(ranking.judges[0].labels == std::vector<std::string>{"wrong", "correct"});
  CHECK(ranking.best().verdicts[0].probabilities == std::vector<double>{0.25, 0.75});
  CHECK(ranking.ranked[1].verdicts[0].probabilities.empty());  // blank, and shown to nobody
  const auto json = nlohmann::json::parse(ranking.to_json());
  const auto& verdict = json["ranked"][0]["verdicts"][0];
  CHECK(verdict["probabilities"] == nlohmann::json({0.25, 0.75}));
  CHECK(verdict["feedback"] == "reads \xEF\xBF\xBDwell");
  CHECK(verdict["truncated"] == 7);
  CHECK(json["judges"][0]["labels"] == nlohmann::json({"wrong", "correct"}));
}

TEST_CASE("the record is JSON that any reader takes", "[core]") {
  Ranker team;
  team.add(FakeJudge{"a \"b\"", {{"x\xFF", 0.5}, {"y", 0.25}}});
  std::vector<Candidate> candidates{candidate("x\xFF", {-0.1F, NAN}), candidate("y")};
  candidates[0].tokens = {1, 2};
  candidates[0].p_correct = HUGE_VALF;
  Ranking ranking = team.rank(task, candidates, RankOptions{Aggregation::mean_logit, {2.5}});
  ranking.generate_options.emplace();
  ranking.generate_options->sampling.seed = ~std::uint64_t{0};
  ranking.generate_stats.emplace();
  const std::string text = ranking.to_json();
  CHECK(text.find('\n') == std::string::npos);
  const auto json = nlohmann::json::parse(text);

  CHECK(json["ranked"].size() == 2);
  const auto& best = json["ranked"][0];
  CHECK(best["candidate"]["text"] == "x\xEF\xBF\xBD");
  CHECK(best["candidate"]["tokens"] == nlohmann::json({1, 2}));
  CHECK(best["candidate"]["logprobs"][0] == -0.1);
  CHECK(best["candidate"]["logprobs"][1].is_null());
  CHECK(best["candidate"]["mean_logprob"].is_null());
  CHECK(best["candidate"]["p_correct"].is_null());
  CHECK(best["candidate"]["finish"] == "given");
  CHECK(best["verdicts"][0]["decision"] == "abstain");
  CHECK(best["verdicts"][0]["logit"].is_null());
  CHECK(best["score"].get<double>() == Approx(0.5));
  CHECK(best["multiplicity"] == 1);
  CHECK(json["judges"][0]["name"] == "a \"b\"");
  CHECK(json["judges"][0]["trained"] == true);
  CHECK(json["task"]["language"] == "java");
  CHECK(json["task"]["id"] == "t1");
  CHECK(json["options"] == nlohmann::json({{"aggregation", "mean_logit"}, {"weights", {2.5}}}));
  CHECK(json["generate_options"]["sampling"]["seed"] == ~std::uint64_t{0});
  CHECK(json["generate_options"]["sampling"]["temperature"] == 0.8);
  CHECK(json["generate_stats"]["steps"] == 0);
  CHECK(json["generator_digest"] == "");
  CHECK(json["judge_seconds"].size() == 1);
  CHECK(json["reason"] == ranking.reason);
}
