#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gavel {

/// Why a candidate ended.
enum class FinishReason {
  stop_token,       ///< the model ended its turn
  stop_string,      ///< one of the caller's or the language's stop strings appeared
  length,           ///< max_tokens or the context was reached
  given,            ///< not generated here: the caller brought the candidate
  stopped_by_probe  ///< GenerateOptions::stop_below: an early probe held it for wrong; the text is unfinished
};

/// One proposed solution of a task.
struct Candidate {
  std::string text;                  ///< the code, UTF-8: a completion of the prompt, or a whole answer's code block
  std::string raw;                   ///< all the model wrote, before code extraction, stop trimming and closing
  std::vector<std::int32_t> tokens;  ///< sampled tokens, the stop token left out; empty when given as text
  std::string tokenizer;             ///< SHA-256 of the tokenizer file that `tokens` belong to
  std::vector<float> logprobs;       ///< natural log-probability of each token under the untempered model
  FinishReason finish = FinishReason::given;
  int index = 0;                     ///< its number within the task; with the seed it fixes the draws
  std::optional<float> p_correct;    ///< the generator's own probe, where its bundle has one
  std::optional<float> probe_logit;  ///< the same before calibration
  std::string probe_input{};         ///< SHA-256 of bundle, prompt and tokens that the probe read

  /// Mean log-probability per token, the ranking's tie-breaker; no value where no token was sampled.
  [[nodiscard]] std::optional<double> mean_logprob() const {
    if (logprobs.empty()) return std::nullopt;
    double sum = 0;
    for (const float value : logprobs) sum += value;
    return sum / static_cast<double>(logprobs.size());
  }
};

}  // namespace gavel
