#include "encoder_judge.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/encoder.hpp"
#include "engine/facts.hpp"
#include "feedback.hpp"
#include "gavel/error.hpp"
#include "gavel/tokenizer.hpp"
#include "task_prompt.hpp"

namespace gavel {
namespace {

/// One prompt's way into an encoder: its tokens, cut as the bundle says where there are too many.
class Fit {
 public:
  Fit(const Model& model, std::string_view prompt)
      : tokenizer_(*model.tokenizer()),
        prompt_(manifest(model).prompt(prompt)),
        most_(static_cast<std::size_t>(manifest(model).context)),
        truncate_(manifest(model).judge->truncate) {}

  /// Tokens of the last one that did not fit.
  std::int64_t truncated = 0;

  Encoder::Tokens operator()(const Slots& slots, std::size_t index) {
    Encoder::Tokens tokens = encode(tokenizer_, fill(prompt_, slots));
    const std::size_t all = tokens.size();
    if (all > most_) {
      if (truncate_ == Manifest::Truncate::refuse)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("candidate {} and its task are {} tokens, the judge reads {}; shorten them, or export "
                                "the judge with another truncation",
                                index, all, most_));
      tokens = truncate_ == Manifest::Truncate::end ? without_end(std::move(tokens)) : without_task_end(slots, index);
    }
    truncated = static_cast<std::int64_t>(all - tokens.size());
    return tokens;
  }

 private:
  /// Cuts the end of the text, in front of the special tokens that close the prompt.
  [[nodiscard]] Encoder::Tokens without_end(Encoder::Tokens tokens) const {
    const auto closing = std::find_if(prompt_.rbegin(), prompt_.rend(),
                                      [](const Segment& segment) { return segment.kind != Segment::Kind::token; }) -
                         prompt_.rbegin();
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(most_) - closing, tokens.end() - closing);
    return tokens;
  }

  /// The longest beginning of the task with which the whole candidate fits.
  [[nodiscard]] Encoder::Tokens without_task_end(Slots slots, std::size_t index) const {
    const std::string task = slots["prompt"];
    std::vector<std::size_t> ends;  // where a whole number of characters ends
    for (std::size_t i = 1; i < task.size(); ++i)
      if ((static_cast<unsigned char>(task[i]) & 0xC0U) != 0x80U) ends.push_back(i);
    Encoder::Tokens best;
    for (std::size_t fits = 0, too_long = ends.size(); fits < too_long;) {  // characters: ends[fits - 1] fits
      const std::size_t middle = fits + (too_long - fits) / 2;
      slots["prompt"] = task.substr(0, ends[middle]);
      Encoder::Tokens tokens = encode(tokenizer_, fill(prompt_, slots));
      if (tokens.size() <= most_) {
        fits = middle + 1;
        best = std::move(tokens);
      } else {
        too_long = middle;
      }
    }
    if (best.empty())
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("candidate {} leaves no room for its task in the {} tokens the judge reads; shorten it or "
                      "leave it out",
                      index, most_));
    return best;
  }

  const Tokenizer& tokenizer_;
  const Prompt& prompt_;
  std::size_t most_;
  Manifest::Truncate truncate_;
};

}  // namespace

std::vector<EncoderReading> read_with_encoder(const Model& model, const Task& task,
                                              const std::vector<Candidate>& candidates, std::int32_t feedback_tokens,
                                              const Cancel& cancel) {
  Fit fit(model, "judge");
  Slots slots{{"prompt", task.prompt}, {"language", std::string(spoken(task.language))}};
  std::vector<EncoderReading> readings(candidates.size());
  std::vector<Encoder::Tokens> sequences;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    slots["code"] = candidates[i].text;
    sequences.push_back(fit(slots, i));
    readings[i].truncated = fit.truncated;
  }
  const std::size_t labels = manifest(model).labels.size();
  Encoder encoder(model);
  const auto logits = encoder.classify(sequences, cancel);
  for (std::size_t i = 0; i < readings.size(); ++i) {
    const auto row = logits.subspan(i * labels, labels);
    readings[i].logits.assign(row.begin(), row.end());
  }
  if (feedback_tokens == 0) return readings;
  Fit fit_feedback(model, "feedback");
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    slots["code"] = candidates[i].text;
    sequences[i] = fit_feedback(slots, i);
  }
  auto texts = write_feedback(model, sequences, feedback_tokens, cancel);
  for (std::size_t i = 0; i < readings.size(); ++i) readings[i].feedback = std::move(texts[i]);
  return readings;
}

}  // namespace gavel
