#include "gavel/ranker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unordered_set>

#include "check_cancel.hpp"
#include "gavel/error.hpp"
#include "reason.hpp"
#include "text/check.hpp"

namespace gavel {
namespace {

void number(std::vector<Candidate>& candidates) {
  std::unordered_set<int> seen;
  const bool distinct = std::all_of(candidates.begin(), candidates.end(), [&](const Candidate& candidate) {
    return candidate.index >= 0 && seen.insert(candidate.index).second;
  });
  if (distinct) return;
  int next = 0;
  for (Candidate& candidate : candidates) candidate.index = next++;
}

void check_verdicts(const std::vector<Verdict>& verdicts, std::size_t expected, const JudgeInfo& judge) {
  if (verdicts.size() != expected)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("judge \"{}\" gave {} verdicts for {} candidates; expected one each", judge.name,
                            verdicts.size(), expected));
  for (std::size_t i = 0; i < expected; ++i)
    if (const double p = verdicts[i].p_correct; !(p >= 0 && p <= 1))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("judge \"{}\" gave candidate {} a p_correct of {}; expected 0 to 1", judge.name, i, p));
}

/// The tie-breaker as something that always compares: none, or a NaN of the caller's, comes last.
double likelihood(const Candidate& candidate) {
  const double mean = candidate.mean_logprob().value_or(-HUGE_VAL);
  return std::isnan(mean) ? -HUGE_VAL : mean;
}

/// Where nothing was written, or an early probe ended the writing, there is no program: wrong by every judge's account.
bool unwritten(const Candidate& candidate) {
  return text::blank(candidate.text) || candidate.finish == FinishReason::stopped_by_probe;
}

}  // namespace

Ranking Ranker::rank(const Task& task, std::vector<Candidate> candidates, const std::optional<RankOptions>& given,
                     const Cancel& cancel) {
  const RankOptions& options = given ? *given : options_;
  if (candidates.empty())
    throw Error(ErrorCode::invalid_argument, "there are no candidates to rank; give at least one");
  check(options);
  number(candidates);

  // Only the first of those that are the same goes to the judges.
  const std::vector<std::size_t> first = representatives(candidates, task.language);
  std::vector<Candidate> distinct;
  std::vector<std::size_t> place(candidates.size()), multiplicity(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    ++multiplicity[first[i]];
    if (first[i] != i || unwritten(candidates[i])) continue;  // no judge is asked
    place[i] = distinct.size();
    distinct.push_back(candidates[i]);
  }

  Ranking ranking;
  ranking.task = task;
  ranking.options = options;
  std::vector<std::vector<Verdict>> verdicts(distinct.size());
  for (const Member& member : members_) {
    check_cancel(cancel);
    ranking.judges.push_back(member.info());
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<Verdict> given = distinct.empty() ? std::vector<Verdict>{} : member.judge(task, distinct, cancel);
    ranking.judge_seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    check_verdicts(given, distinct.size(), ranking.judges.back());
    for (std::size_t i = 0; i < distinct.size(); ++i) verdicts[i].push_back(given[i]);
  }

  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Ranked ranked;
    // A candidate of nothing but comments may have a blank one as its representative.
    const bool none = unwritten(candidates[i]) || unwritten(candidates[first[i]]);
    ranked.verdicts = none ? std::vector<Verdict>(members_.size(), Verdict{0.0, std::nullopt, Decision::wrong})
                           : verdicts[place[first[i]]];
    const bool stopped = candidates[i].finish == FinishReason::stopped_by_probe;
    ranked.score = members_.empty() && !stopped ? std::exp(std::min(likelihood(candidates[i]), 0.0))
                   : none                       ? 0.0
                          : aggregate(options.aggregation, ranked.verdicts, options.weights, options.stacking,
                                      candidates[i].mean_logprob());
    ranked.multiplicity = multiplicity[first[i]];
    ranked.representative = static_cast<std::size_t>(candidates[first[i]].index);
    ranking.ranked.push_back(std::move(ranked));
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) ranking.ranked[i].candidate = std::move(candidates[i]);
  std::stable_sort(ranking.ranked.begin(), ranking.ranked.end(), [](const Ranked& a, const Ranked& b) {
    if (a.score != b.score) return a.score > b.score;
    return likelihood(a.candidate) > likelihood(b.candidate);
  });
  ranking.reason = reason(ranking);
  return ranking;
}

std::vector<JudgeInfo> Ranker::judges() const {
  std::vector<JudgeInfo> infos;
  for (const Member& member : members_) infos.push_back(member.info());
  return infos;
}

/// Before anything dear is done.
void Ranker::check(const RankOptions& options) const {
  if (!members_.empty()) {
    static_cast<void>(
        aggregate(options.aggregation, std::vector<Verdict>(members_.size()), options.weights, options.stacking));
  } else if (options.aggregation == Aggregation::stacked) {
    throw Error(ErrorCode::invalid_argument, "there is nothing to stack in a team without a judge; add the judges");
  } else if (!options.weights.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} weights for a team without a judge; add the judges or leave the weights out",
                            options.weights.size()));
  }
}

}  // namespace gavel
