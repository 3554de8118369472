#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "gavel/ranker.hpp"

namespace gavel {
namespace {

using Json = nlohmann::ordered_json;

/// The shortest decimal that reads back as this float: 0.8, not 0.800000011920929. JSON has no NaN and no infinity.
Json number(float value) {
  if (!std::isfinite(value)) return nullptr;
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  double shortest = value;
  if (error == std::errc{}) std::from_chars(text.data(), end, shortest);
  return shortest;
}

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

template <class T>
Json number(const std::optional<T>& value) {
  return value ? number(*value) : Json(nullptr);
}

template <class T>
Json numbers(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T value : values) list.push_back(number(value));
  return list;
}

const char* text(FinishReason finish) {
  switch (finish) {
    case FinishReason::stop_token: return "stop_token";
    case FinishReason::stop_string: return "stop_string";
    case FinishReason::length: return "length";
    case FinishReason::given: return "given";
    case FinishReason::stopped_by_probe: return "stopped_by_probe";
  }
  return "given";
}

const char* text(Decision decision) {
  switch (decision) {
    case Decision::correct: return "correct";
    case Decision::wrong: return "wrong";
    case Decision::abstain: return "abstain";
  }
  return "abstain";
}

const char* text(Language language) {
  switch (language) {
    case Language::any: return "any";
    case Language::java: return "java";
    case Language::python: return "python";
    case Language::cpp: return "cpp";
  }
  return "any";
}

Json record(const Candidate& candidate) {
  return {{"text", candidate.text},
          {"raw", candidate.raw},
          {"tokens", candidate.tokens},
          {"tokenizer", candidate.tokenizer},
          {"logprobs", numbers(candidate.logprobs)},
          {"mean_logprob", number(candidate.mean_logprob())},
          {"finish", text(candidate.finish)},
          {"index", candidate.index},
          {"p_correct", number(candidate.p_correct)},
          {"probe_logit", number(candidate.probe_logit)}};
}

Json record(const Verdict& verdict) {
  return {{"p_correct", number(verdict.p_correct)}, {"logit", number(verdict.logit)},
          {"decision", text(verdict.decision)},     {"probabilities", numbers(verdict.probabilities)},
          {"feedback", verdict.feedback},           {"truncated", verdict.truncated}};
}

Json record(const Ranked& ranked) {
  Json verdicts = Json::array();
  for (const Verdict& verdict : ranked.verdicts) verdicts.push_back(record(verdict));
  return {{"candidate", record(ranked.candidate)},
          {"score", number(ranked.score)},
          {"verdicts", verdicts},
          {"multiplicity", ranked.multiplicity},
          {"representative", ranked.representative}};
}

Json record(const JudgeInfo& judge) {
  return {{"name", judge.name},
          {"kind", judge.kind},
          {"trained", judge.trained},
          {"digest", judge.digest},
          {"labels", judge.labels}};
}

Json record(const Task& task) {
  return {{"prompt", task.prompt},
          {"language", text(task.language)},
          {"prompting", task.prompting == Prompting::chat ? "chat" : "completion"},
          {"id", task.id}};
}

Json record(const RankOptions& options) {
  Json all = {{"aggregation", name(options.aggregation)}, {"weights", numbers(options.weights)}};
  if (options.aggregation == Aggregation::stacked)
    all["stacking"] = {{"bias", number(options.stacking.bias)},
                       {"logprob_weight", number(options.stacking.logprob_weight)},
                       {"logprob_mean", number(options.stacking.logprob_mean)}};
  return all;
}

Json record(const SamplingOptions& options) {
  return {{"temperature", number(options.temperature)},
          {"top_k", options.top_k},
          {"top_p", number(options.top_p)},
          {"min_p", number(options.min_p)},
          {"repetition_penalty", number(options.repetition_penalty)},
          {"presence_penalty", number(options.presence_penalty)},
          {"seed", options.seed}};
}

Json record(const GenerateOptions& options) {
  return {{"candidates", options.candidates},
          {"max_tokens", options.max_tokens},
          {"sampling", record(options.sampling)},
          {"stop", options.stop},
          {"stop_tokens", options.stop_tokens},
          {"language_stops", options.language_stops},
          {"probe", options.probe},
          {"stop_below", number(options.stop_below)}};
}

Json record(const GenerateStats& stats) {
  return {{"prefill_seconds", number(stats.prefill_seconds)},
          {"decode_seconds", number(stats.decode_seconds)},
          {"sample_seconds", number(stats.sample_seconds)},
          {"prompt_tokens", stats.prompt_tokens},
          {"sampled_tokens", stats.sampled_tokens},
          {"steps", stats.steps},
          {"stopped", stats.stopped}};
}

}  // namespace

std::string Ranking::to_json() const {
  Json list = Json::array(), team = Json::array();
  for (const Ranked& one : ranked) list.push_back(record(one));
  for (const JudgeInfo& judge : judges) team.push_back(record(judge));
  const Json all = {{"ranked", list},
                    {"judges", team},
                    {"generator_digest", generator_digest},
                    {"task", record(task)},
                    {"generate_options", generate_options ? record(*generate_options) : Json(nullptr)},
                    {"generate_stats", generate_stats ? record(*generate_stats) : Json(nullptr)},
                    {"options", record(options)},
                    {"judge_seconds", numbers(judge_seconds)},
                    {"reason", reason}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace gavel
