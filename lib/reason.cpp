#include "reason.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gavel {
namespace {

/// The judges that were not trained, for whoever reads the scores.
std::string caution(const Ranking& ranking) {
  std::string names;
  std::size_t count = 0;
  for (const JudgeInfo& judge : ranking.judges) {
    if (judge.trained) continue;
    names += (names.empty() ? "\"" : ", \"") + judge.name + "\"";
    ++count;
  }
  return count == 0 ? "" : fmt::format(" (untrained {}: {})", count == 1 ? "judge" : "judges", names);
}

std::string likelihood(const Candidate& candidate) {
  const std::optional<double> mean = candidate.mean_logprob();
  return mean ? fmt::format("{:.3f}", *mean) : "none";
}

/// How the best came before others with the same score.
std::string tie(const Ranked& best, const Ranked& next, std::size_t others) {
  const std::string shared =
      fmt::format("which {} other distinct {} as well; ", others, others == 1 ? "candidate has" : "candidates have");
  if (best.candidate.mean_logprob() != next.candidate.mean_logprob())
    return shared + fmt::format("its mean log-probability of {} decided", likelihood(best.candidate));
  return shared + "it came first";
}

}  // namespace

std::string reason(const Ranking& ranking) {
  const Ranked& best = ranking.ranked.front();
  const int index = best.candidate.index;
  if (ranking.ranked.size() == 1) return fmt::format("Candidate {} is the only one{}.", index, caution(ranking));
  if (best.multiplicity == ranking.ranked.size())
    return fmt::format("All {} candidates are the same program; candidate {} stands for them{}.", best.multiplicity,
                       index, caution(ranking));

  const auto differs = [&](const Ranked& other) { return other.representative != best.representative; };
  const Ranked& next = *std::find_if(ranking.ranked.begin(), ranking.ranked.end(), differs);
  std::string text;
  if (ranking.judges.empty()) {
    text = best.candidate.mean_logprob()
               ? fmt::format(
                     "Candidate {} has the highest mean log-probability, {}, ahead of candidate {} with {}; no "
                     "judge was asked",
                     index, likelihood(best.candidate), next.candidate.index, likelihood(next.candidate))
               : fmt::format("Candidate {} came first; no judge was asked and no log-probabilities are known", index);
  } else {
    text = fmt::format("Candidate {} has the highest score, {:.3f} ({} of {} {}), ", index, best.score,
                       name(ranking.options.aggregation), ranking.judges.size(),
                       ranking.judges.size() == 1 ? "judge" : "judges");
    if (next.score < best.score) {
      text += fmt::format("ahead of candidate {} with {:.3f}", next.candidate.index, next.score);
    } else {
      const auto equals = std::count_if(ranking.ranked.begin(), ranking.ranked.end(), [&](const Ranked& other) {
        return other.score == best.score && differs(other) &&
               other.representative == static_cast<std::size_t>(other.candidate.index);
      });
      text += tie(best, next, static_cast<std::size_t>(equals));
    }
  }
  if (best.multiplicity > 1) text += fmt::format("; {} candidates are this program", best.multiplicity);
  return text + caution(ranking) + ".";
}

}  // namespace gavel
