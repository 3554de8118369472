#include <cmath>
#include <exception>

#include "convert.hpp"

namespace gavel::capi {
namespace {

/// The value of an enumeration field; `last` is its greatest one.
template <class Enum>
Enum to_enum(std::int32_t value, Enum last, const char* name) {
  if (value < 0 || value > static_cast<std::int32_t>(last)) {
    refuse(std::string(name) + " is " + std::to_string(value) + ", expected 0 to " +
           std::to_string(static_cast<int>(last)));
  }
  return static_cast<Enum>(value);
}

template <class T>
std::vector<T> to_vector(const T* data, std::size_t count, const char* name) {
  need_array(data, count, name);
  return std::vector<T>(data, data + count);
}

template <class T>
std::optional<T> to_optional(double value) {
  if (std::isnan(value)) return std::nullopt;
  return static_cast<T>(value);
}

std::string to_name(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

std::string to_string(gavel_text text, const char* name) {
  return std::string(need_array(text.data, text.size, name), text.size);
}

std::filesystem::path to_path(const char* path, const char* name) {
  if (need(path, name) == '\0') refuse(std::string(name) + " is empty; pass the path of a file or bundle folder");
  return std::filesystem::path(path);
}

Language to_language(std::int32_t value) {
  return to_enum(value, Language::cpp, "language");
}

Task to_task(const gavel_task* in) {
  const gavel_task task = read_sized(in, default_task(), "task");
  return {.prompt = to_string(task.prompt, "task.prompt"),
          .language = to_language(task.language),
          .prompting = to_enum(task.prompting, Prompting::chat, "task.prompting"),
          .id = to_string(task.id, "task.id")};
}

Candidate to_candidate(const gavel_candidate* in) {
  const gavel_candidate candidate = read_sized(in, default_candidate(), "candidate");
  return {.text = to_string(candidate.text, "candidate.text"),
          .raw = to_string(candidate.raw, "candidate.raw"),
          .tokens = to_vector(candidate.tokens, candidate.token_count, "candidate.tokens"),
          .tokenizer = to_string(candidate.tokenizer, "candidate.tokenizer"),
          .logprobs = to_vector(candidate.logprobs, candidate.logprob_count, "candidate.logprobs"),
          .finish = to_enum(candidate.finish, FinishReason::stopped_by_probe, "candidate.finish"),
          .index = candidate.index,
          .p_correct = to_optional<float>(candidate.p_correct),
          .probe_logit = to_optional<float>(candidate.probe_logit)};
}

OpenOptions to_options(const gavel_open_options* in) {
  if (in == nullptr) return {};
  const gavel_open_options options = read_sized(in, default_open_options(), "options");
  return {.device = options.device == nullptr ? OpenOptions().device : std::string(options.device),
          .pin = to_name(options.pin),
          .verify_weights = options.verify_weights != 0,
          .self_test = options.self_test != 0};
}

GenerateOptions to_options(const gavel_generate_options* in) {
  if (in == nullptr) return {};
  const gavel_generate_options options = read_sized(in, default_generate_options(), "generate options");
  GenerateOptions out;
  out.candidates = options.candidates;
  out.max_tokens = options.max_tokens;
  out.sampling = {.temperature = options.temperature,
                  .top_k = options.top_k,
                  .top_p = options.top_p,
                  .min_p = options.min_p,
                  .repetition_penalty = options.repetition_penalty,
                  .presence_penalty = options.presence_penalty,
                  .seed = options.seed};
  need_array(options.stop, options.stop_count, "options.stop");
  for (std::size_t i = 0; i < options.stop_count; ++i) out.stop.push_back(to_string(options.stop[i], "options.stop"));
  out.stop_tokens = to_vector(options.stop_tokens, options.stop_token_count, "options.stop_tokens");
  out.language_stops = options.language_stops != 0;
  out.probe = options.probe != 0;
  out.stop_below = options.stop_below;
  return out;
}

JudgeOptions to_options(const gavel_judge_options* in) {
  if (in == nullptr) return {};
  const gavel_judge_options options = read_sized(in, default_judge_options(), "judge options");
  return {.kind = to_enum(options.kind, JudgeKind::probe, "options.kind"),
          .threshold = to_optional<double>(options.threshold),
          .abstain_band = to_optional<double>(options.abstain_band),
          .feedback_tokens = options.feedback_tokens,
          .precision = to_optional<double>(options.precision)};
}

RankOptions to_options(const gavel_rank_options* in) {
  if (in == nullptr) return {};
  const gavel_rank_options options = read_sized(in, default_rank_options(), "rank options");
  return {.aggregation = to_enum(options.aggregation, Aggregation::stacked, "options.aggregation"),
          .weights = to_vector(options.weights, options.weight_count, "options.weights"),
          .stacking = {
              .bias = options.bias, .logprob_weight = options.logprob_weight, .logprob_mean = options.logprob_mean}};
}

Cancel to_cancel(const gavel_cancel* cancel) {
  if (cancel == nullptr) return {};
  return {.token = cancel->token, .deadline = cancel->deadline};
}

StreamCallback to_callback(gavel_stream_fn stream, void* payload) {
  if (stream == nullptr) return {};
  return [stream, payload](const StreamEvent& event) {
    const gavel_stream_event out = {.size = sizeof out,
                                    .task = event.task,
                                    .candidate = event.candidate,
                                    .token = event.token,
                                    .text = view(event.text),
                                    .finished = event.finished ? 1 : 0};
    if (stream(&out, payload) != 0) throw Error(ErrorCode::cancelled, "the stream callback ended the call");
  };
}

Verdict to_verdict(const gavel_verdict& in, std::size_t index) {
  if (!(in.p_correct >= 0 && in.p_correct <= 1)) {
    refuse("verdict " + std::to_string(index) + " has p_correct " + std::to_string(in.p_correct) +
           ", expected a number in [0, 1]");
  }
  return {.p_correct = in.p_correct,
          .logit = to_optional<double>(in.logit),
          .decision = to_enum(in.decision, Decision::abstain, "verdict.decision"),
          .probabilities = {},
          .feedback = {},
          .truncated = 0};
}

Verdict to_verdict(const gavel_explanation* in, std::size_t index) {
  const gavel_explanation from = read_sized(in, default_explanation(), "explanation");
  Verdict out = to_verdict(from.verdict, index);
  out.probabilities = to_vector(from.probabilities, from.probability_count, "explanation.probabilities");
  out.feedback = to_string(from.feedback, "explanation.feedback");
  out.truncated = from.truncated;
  return out;
}

JudgeInfo to_info(const gavel_judge_info* in) {
  const gavel_judge_info from = read_sized(in, gavel_judge_info{}, "info");
  JudgeInfo out{.name = to_string(from.name, "info.name"),
                .kind = to_string(from.kind, "info.kind"),
                .trained = from.trained != 0,
                .digest = to_string(from.digest, "info.digest"),
                .labels = {}};
  need_array(from.labels, from.label_count, "info.labels");
  for (std::size_t i = 0; i < from.label_count; ++i) out.labels.push_back(to_string(from.labels[i], "info.labels"));
  return out;
}

}  // namespace gavel::capi
