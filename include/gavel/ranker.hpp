#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gavel/aggregation.hpp"
#include "gavel/dedup.hpp"
#include "gavel/generator.hpp"
#include "gavel/judge.hpp"

namespace gavel {

struct RankOptions {
  Aggregation aggregation = Aggregation::mean_probability;
  std::vector<double> weights;  ///< one per judge, or empty for equal ones
};

/// One candidate with all that was said of it.
struct Ranked {
  Candidate candidate;
  double score = 0;                ///< the aggregated P(correct); without judges exp(mean log-probability)
  std::vector<Verdict> verdicts;   ///< in the judges' order
  std::size_t multiplicity = 1;    ///< how many candidates were the same as this one, itself included
  std::size_t representative = 0;  ///< `index` of the first candidate that is the same
};

/// The evidence for a ranking: enough to replay and to explain it.
struct Ranking {
  std::vector<Ranked> ranked;  ///< best first
  std::vector<JudgeInfo> judges;
  std::string generator_digest;  ///< empty where candidates were given
  Task task;
  std::optional<GenerateOptions> generate_options;
  std::optional<GenerateStats> generate_stats;
  RankOptions options;
  std::vector<double> judge_seconds;  ///< per judge
  std::string reason;                 ///< why the best is best, in one sentence

  [[nodiscard]] const Ranked& best() const { return ranked.front(); }
  /// The record as JSON, one object; field names as here.
  [[nodiscard]] std::string to_json() const;
};

/// A team: one generator (optional, for `solve`) and any number of judges. Without judges the candidates' mean
/// log-probability decides. Not thread-safe.
class Ranker {
 public:
  Ranker() = default;
  explicit Ranker(Generator generator) : generator_(std::make_shared<Generator>(std::move(generator))) {}
  Ranker(Ranker&&) = default;
  Ranker& operator=(Ranker&&) = default;

  /// Adds a judge: gavel::Judge or anything that satisfies AnyJudge (a linter, a test runner, a remote model).
  template <AnyJudge T>
  Ranker& add(T judge) {
    auto shared = std::make_shared<T>(std::move(judge));
    members_.push_back({[shared] { return JudgeInfo(shared->info()); },
                        [shared](const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
                          return std::vector<Verdict>(shared->judge(task, candidates, cancel));
                        }});
    return *this;
  }

  /// Judges and orders given candidates. Same candidates are judged once; a blank one is wrong and shown to no judge.
  /// Best first: by score, ties by mean log-probability, then by order. Candidates whose indices are not distinct are
  /// numbered in their order. Throws invalid_argument for no candidates, weights that do not fit the judges, or a judge
  /// that gives another number of verdicts or a p_correct outside [0, 1]; what a judge throws reaches the caller.
  [[nodiscard]] Ranking rank(const Task& task, std::vector<Candidate> candidates, const RankOptions& options = {},
                             const Cancel& cancel = {});

  /// Generates, judges and ranks.
  [[nodiscard]] Ranking solve(const Task& task, const GenerateOptions& generate = {}, const RankOptions& options = {},
                              const StreamCallback& stream = {}, const Cancel& cancel = {});

 private:
  struct Member {
    std::function<JudgeInfo()> info;
    std::function<std::vector<Verdict>(const Task&, const std::vector<Candidate>&, const Cancel&)> judge;
  };
  void check(const RankOptions& options) const;
  std::shared_ptr<Generator> generator_;  // never shared: so that ranking alone does not link the generator
  std::vector<Member> members_;
};

}  // namespace gavel
