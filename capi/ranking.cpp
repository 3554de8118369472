#include "convert.hpp"

using namespace gavel::capi;

namespace {

const gavel::Ranked& at(const gavel_ranking* ranking, std::size_t place) {
  const auto& ranked = need(ranking, "ranking").ranking.ranked;
  if (place >= ranked.size()) {
    refuse("place is " + std::to_string(place) + ", but there are " + std::to_string(ranked.size()) + " candidates");
  }
  return ranked[place];
}

void check_judge(std::size_t judge, std::size_t count) {
  if (judge >= count)
    refuse("judge is " + std::to_string(judge) + ", but there are " + std::to_string(count) + " judges");
}

}  // namespace

void gavel_ranking_destroy(gavel_ranking* ranking) {
  delete ranking;
}

gavel_status gavel_ranking_get_info(gavel_ranking_info* out, const gavel_ranking* ranking) {
  return guard([&] {
    const gavel::Ranking& from = need(ranking, "ranking").ranking;
    fill_sized(out, gavel_ranking_info{.size = 0,
                                       .count = from.ranked.size(),
                                       .judge_count = from.judges.size(),
                                       .reason = view(from.reason),
                                       .generator_digest = view(from.generator_digest)});
  });
}

gavel_status gavel_ranking_get_candidate(gavel_candidate* out, const gavel_ranking* ranking, size_t place) {
  return guard([&] { fill_sized(out, view(at(ranking, place).candidate)); });
}

gavel_status gavel_ranking_get_ranked(gavel_ranked* out, const gavel_ranking* ranking, size_t place) {
  return guard([&] {
    const gavel::Ranked& from = at(ranking, place);
    const auto& verdicts = ranking->verdicts[place];
    fill_sized(out, gavel_ranked{.size = 0,
                                 .score = from.score,
                                 .verdicts = verdicts.data(),
                                 .verdict_count = verdicts.size(),
                                 .multiplicity = from.multiplicity,
                                 .representative = from.representative});
  });
}

gavel_status gavel_ranking_get_explanation(gavel_explanation* out, const gavel_ranking* ranking, size_t place,
                                           size_t judge) {
  return guard([&] {
    const auto& verdicts = at(ranking, place).verdicts;
    check_judge(judge, verdicts.size());
    fill_sized(out, explain(verdicts[judge]));
  });
}

gavel_status gavel_ranking_get_judge(gavel_judge_info* out, double* out_seconds, const gavel_ranking* ranking,
                                     size_t judge) {
  return guard([&] {
    const gavel::Ranking& from = need(ranking, "ranking").ranking;
    check_judge(judge, from.judges.size());
    fill_sized(out, view(from.judges[judge], ranking->labels[judge]));
    if (out_seconds != nullptr) *out_seconds = judge < from.judge_seconds.size() ? from.judge_seconds[judge] : 0.0;
  });
}

gavel_status gavel_ranking_get_stats(gavel_generate_stats* out, const gavel_ranking* ranking) {
  return guard(
      [&] { fill_sized(out, view(need(ranking, "ranking").ranking.generate_stats.value_or(gavel::GenerateStats{}))); });
}

gavel_status gavel_ranking_to_json(gavel_text* out, const gavel_ranking* ranking) {
  return guard([&] { need(out, "out") = view(need(ranking, "ranking").json); });
}
