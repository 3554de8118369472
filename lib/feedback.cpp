#include "feedback.hpp"

#include <algorithm>

#include "engine/facts.hpp"
#include "gavel/tokenizer.hpp"

namespace gavel {
namespace {

constexpr std::size_t most_at_once = 2048;  // tokens of prompts whose keys and values are held together

/// Writes after all of some prompts at once.
std::vector<Encoder::Tokens> write(Encoder& encoder, const Manifest& m, std::span<const Encoder::Tokens> prompts,
                                   std::int32_t most, const Cancel& cancel) {
  encoder.read(prompts, most, cancel);
  std::vector<Encoder::Tokens> written(prompts.size());
  std::vector<Encoder::Next> next;
  for (std::size_t i = 0; i < prompts.size(); ++i) next.push_back({static_cast<std::int64_t>(i), *m.start});
  while (!next.empty()) {
    const auto logits = encoder.step(next, cancel);
    std::vector<Encoder::Next> going;
    for (std::size_t row = 0; row < next.size(); ++row) {
      // Rows behind the tokenizer's tokens are padding.
      const auto values = logits.subspan(row * static_cast<std::size_t>(m.vocabulary))
                              .first(static_cast<std::size_t>(m.tokenizer_size));
      const auto token = static_cast<std::int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
      if (std::find(m.stop_tokens.begin(), m.stop_tokens.end(), token) != m.stop_tokens.end()) continue;
      Encoder::Tokens& text = written[static_cast<std::size_t>(next[row].sequence)];
      text.push_back(token);
      if (static_cast<std::int32_t>(text.size()) < most) going.push_back({next[row].sequence, token});
    }
    next = std::move(going);
  }
  return written;
}

}  // namespace

std::vector<std::string> write_feedback(const Model& model, std::span<const Encoder::Tokens> prompts, std::int32_t most,
                                        const Cancel& cancel) {
  Encoder encoder(model);
  std::vector<std::string> texts;
  for (std::size_t begin = 0, end = 0; begin < prompts.size(); begin = end) {
    std::size_t tokens = prompts[end++].size();
    while (end < prompts.size() && tokens + prompts[end].size() <= most_at_once) tokens += prompts[end++].size();
    for (const auto& ids : write(encoder, manifest(model), prompts.subspan(begin, end - begin), most, cancel))
      texts.push_back(model.tokenizer()->decode(ids));
  }
  return texts;
}

}  // namespace gavel
