#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "convert.hpp"

namespace gavel::capi {
namespace {

constexpr double absent = std::numeric_limits<double>::quiet_NaN();

}  // namespace

char* allocate_copy(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

gavel_task view(const Task& task) {
  gavel_task out = default_task();
  out.size = sizeof out;
  out.prompt = view(task.prompt);
  out.language = static_cast<std::int32_t>(task.language);
  out.prompting = static_cast<std::int32_t>(task.prompting);
  out.id = view(task.id);
  return out;
}

gavel_candidate view(const Candidate& candidate) {
  return {.size = sizeof(gavel_candidate),
          .text = view(candidate.text),
          .raw = view(candidate.raw),
          .tokens = candidate.tokens.data(),
          .token_count = candidate.tokens.size(),
          .logprobs = candidate.logprobs.data(),
          .logprob_count = candidate.logprobs.size(),
          .finish = static_cast<std::int32_t>(candidate.finish),
          .index = candidate.index,
          .p_correct = candidate.p_correct ? static_cast<double>(*candidate.p_correct) : absent,
          .probe_logit = candidate.probe_logit ? static_cast<double>(*candidate.probe_logit) : absent,
          .tokenizer = view(candidate.tokenizer)};
}

gavel_rank_options view(const RankOptions& options) {
  return {.size = sizeof(gavel_rank_options),
          .aggregation = static_cast<std::int32_t>(options.aggregation),
          .weights = options.weights.data(),
          .weight_count = options.weights.size(),
          .bias = options.stacking.bias,
          .logprob_weight = options.stacking.logprob_weight,
          .logprob_mean = options.stacking.logprob_mean};
}

gavel_operating_point view(const OperatingPoint& point) {
  return {.size = sizeof(gavel_operating_point),
          .threshold = point.threshold,
          .precision = point.precision,
          .precision_low = point.precision_low,
          .coverage = point.coverage,
          .selected = point.selected,
          .candidates = point.candidates};
}

gavel_verdict view(const Verdict& verdict) {
  return {.p_correct = verdict.p_correct,
          .logit = verdict.logit.value_or(absent),
          .decision = static_cast<std::int32_t>(verdict.decision),
          .reserved = 0};
}

gavel_explanation explain(const Verdict& verdict) {
  return {.size = sizeof(gavel_explanation),
          .verdict = view(verdict),
          .probabilities = verdict.probabilities.data(),
          .probability_count = verdict.probabilities.size(),
          .feedback = view(verdict.feedback),
          .truncated = verdict.truncated};
}

std::vector<gavel_text> views(const std::vector<std::string>& texts) {
  std::vector<gavel_text> out;
  for (const std::string& text : texts) out.push_back(view(text));
  return out;
}

gavel_judge_info view(const JudgeInfo& info, const std::vector<gavel_text>& labels) {
  return {.size = sizeof(gavel_judge_info),
          .name = view(info.name),
          .kind = view(info.kind),
          .trained = info.trained ? 1 : 0,
          .digest = view(info.digest),
          .labels = labels.data(),
          .label_count = labels.size()};
}

gavel_generate_stats view(const GenerateStats& stats) {
  return {.size = sizeof(gavel_generate_stats),
          .prefill_seconds = stats.prefill_seconds,
          .decode_seconds = stats.decode_seconds,
          .sample_seconds = stats.sample_seconds,
          .prompt_tokens = stats.prompt_tokens,
          .sampled_tokens = stats.sampled_tokens,
          .steps = stats.steps,
          .stopped = stats.stopped};
}

}  // namespace gavel::capi
