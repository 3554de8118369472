#include <limits>

#include "convert.hpp"

// The C enumerations are the C++ ones by number.
static_assert(static_cast<int>(gavel::Language::cpp) == GAVEL_CPP);
static_assert(static_cast<int>(gavel::Prompting::chat) == GAVEL_CHAT);
static_assert(static_cast<int>(gavel::FinishReason::stopped_by_probe) == GAVEL_FINISH_STOPPED_BY_PROBE);
static_assert(static_cast<int>(gavel::JudgeKind::probe) == GAVEL_JUDGE_PROBE);
static_assert(static_cast<int>(gavel::Decision::abstain) == GAVEL_ABSTAIN);
static_assert(static_cast<int>(gavel::Aggregation::stacked) == GAVEL_STACKED);

namespace gavel::capi {

constexpr double absent = std::numeric_limits<double>::quiet_NaN();

gavel_open_options default_open_options() {
  gavel_open_options out{};
  out.device = "cpu";
  return out;
}

gavel_task default_task() {
  return {};
}

gavel_candidate default_candidate() {
  gavel_candidate out{};
  out.finish = GAVEL_FINISH_GIVEN;
  out.p_correct = absent;
  out.probe_logit = absent;
  return out;
}

gavel_generate_options default_generate_options() {
  const GenerateOptions defaults;
  gavel_generate_options out{};
  out.candidates = defaults.candidates;
  out.max_tokens = defaults.max_tokens;
  out.temperature = defaults.sampling.temperature;
  out.top_k = defaults.sampling.top_k;
  out.top_p = defaults.sampling.top_p;
  out.min_p = defaults.sampling.min_p;
  out.repetition_penalty = defaults.sampling.repetition_penalty;
  out.presence_penalty = defaults.sampling.presence_penalty;
  out.seed = defaults.sampling.seed;
  out.language_stops = defaults.language_stops ? 1 : 0;
  out.probe = defaults.probe ? 1 : 0;
  out.stop_below = defaults.stop_below;
  return out;
}

gavel_judge_options default_judge_options() {
  gavel_judge_options out{};
  out.threshold = absent;
  out.abstain_band = absent;
  out.precision = absent;
  return out;
}

gavel_operating_point default_operating_point() {
  gavel_operating_point out{};
  out.threshold = absent;
  return out;
}

gavel_explanation default_explanation() {
  gavel_explanation out{};
  out.verdict = {.p_correct = absent, .logit = absent, .decision = GAVEL_ABSTAIN, .reserved = 0};
  return out;
}

gavel_rank_options default_rank_options() {
  return {};
}

}  // namespace gavel::capi

using namespace gavel::capi;

gavel_status gavel_open_options_init(gavel_open_options* out, size_t size) {
  return guard([&] { write_sized(out, size, default_open_options(), "gavel_open_options"); });
}

gavel_status gavel_task_init(gavel_task* out, size_t size) {
  return guard([&] { write_sized(out, size, default_task(), "gavel_task"); });
}

gavel_status gavel_candidate_init(gavel_candidate* out, size_t size) {
  return guard([&] { write_sized(out, size, default_candidate(), "gavel_candidate"); });
}

gavel_status gavel_generate_options_init(gavel_generate_options* out, size_t size) {
  return guard([&] { write_sized(out, size, default_generate_options(), "gavel_generate_options"); });
}

gavel_status gavel_judge_options_init(gavel_judge_options* out, size_t size) {
  return guard([&] { write_sized(out, size, default_judge_options(), "gavel_judge_options"); });
}

gavel_status gavel_operating_point_init(gavel_operating_point* out, size_t size) {
  return guard([&] { write_sized(out, size, default_operating_point(), "gavel_operating_point"); });
}

gavel_status gavel_explanation_init(gavel_explanation* out, size_t size) {
  return guard([&] { write_sized(out, size, default_explanation(), "gavel_explanation"); });
}

gavel_status gavel_rank_options_init(gavel_rank_options* out, size_t size) {
  return guard([&] { write_sized(out, size, default_rank_options(), "gavel_rank_options"); });
}

gavel_status gavel_judge_info_init(gavel_judge_info* out, size_t size) {
  return guard([&] { write_sized(out, size, gavel_judge_info{}, "gavel_judge_info"); });
}
