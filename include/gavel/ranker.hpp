#pragma once

#include <cstddef>
#include <filesystem>
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
  Stacking stacking = {};       ///< of `stacked` alone
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
///
/// A team file (NAME.team.json, which `gavel team fit` writes) names a team's bundles and holds its stacking, fitted on
/// labelled candidates. It says, by paths relative to itself or absolute:
///     {"format": 1,
///      "generator": {"bundle": PATH, "digest": SHA-256 of gavel.json},    or null: it ranks given candidates
///      "members": [{"bundle": PATH, of a bundle or of an adapter in one (BUNDLE/adapters/NAME),
///                   "kind": "probe", "classifier" or "verbalizer",
///                   "digest": SHA-256 of gavel.json, or adapter.json, "weight": NUMBER}, ...],
///      "stacking": {"bias": NUMBER, "logprob_weight": NUMBER, "logprob_mean": NUMBER}}
/// and what it was fitted on, which the library does not read.
class Ranker {
 public:
  Ranker() = default;
  explicit Ranker(Generator generator) : generator_(std::make_shared<Generator>(std::move(generator))) {}
  Ranker(Ranker&&) = default;
  Ranker& operator=(Ranker&&) = default;

  /// The team of a team file; its generator and judges on one base bundle share it. `options` are each model's, except
  /// for `pin`: the expected SHA-256 of the team file, and with it of all that it names. Throws what Model::open does,
  /// and corrupt_bundle for a file that is no team or names a bundle that is another one by now; nothing of that, or of
  /// another base beneath a named adapter, is loaded.
  [[nodiscard]] static Ranker open(const std::filesystem::path& team_file, const OpenOptions& options = {});

  /// How this team ranks where it is not told: as its file says, or else RankOptions's defaults.
  [[nodiscard]] const RankOptions& options() const { return options_; }

  /// Its judges, in order.
  [[nodiscard]] std::vector<JudgeInfo> judges() const;

  /// The generator's model, where there is one; it is shared.
  [[nodiscard]] std::optional<Model> model() const;

  /// Adds a judge: gavel::Judge or anything that satisfies AnyJudge (a linter, a test runner, a remote model). In a
  /// team that stacks, it has weight 1: a p_correct of 0.5 says nothing, one of 0 puts a candidate last.
  template <AnyJudge T>
  Ranker& add(T judge) {
    auto shared = std::make_shared<T>(std::move(judge));
    members_.push_back({[shared] { return JudgeInfo(shared->info()); },
                        [shared](const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
                          return std::vector<Verdict>(shared->judge(task, candidates, cancel));
                        }});
    if (options_.aggregation == Aggregation::stacked) options_.weights.push_back(1);
    return *this;
  }

  /// Judges and orders given candidates. Same candidates are judged once; a blank one is wrong and shown to no judge.
  /// Best first: by score, ties by mean log-probability, then by order. Candidates whose indices are not distinct are
  /// numbered in their order. Throws invalid_argument for no candidates, weights that do not fit the judges, or a judge
  /// that gives another number of verdicts or a p_correct outside [0, 1]; what a judge throws reaches the caller.
  /// Where no options are given, the team's own count.
  [[nodiscard]] Ranking rank(const Task& task, std::vector<Candidate> candidates,
                             const std::optional<RankOptions>& options = {}, const Cancel& cancel = {});

  /// Generates, judges and ranks.
  [[nodiscard]] Ranking solve(const Task& task, const GenerateOptions& generate = {},
                              const std::optional<RankOptions>& options = {}, const StreamCallback& stream = {},
                              const Cancel& cancel = {});

 private:
  struct Member {
    std::function<JudgeInfo()> info;
    std::function<std::vector<Verdict>(const Task&, const std::vector<Candidate>&, const Cancel&)> judge;
  };
  void check(const RankOptions& options) const;
  std::shared_ptr<Generator> generator_;  // never shared: so that ranking alone does not link the generator
  std::vector<Member> members_;
  RankOptions options_;
};

}  // namespace gavel
