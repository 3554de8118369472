#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/manifest.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// Pools the tapped states of one candidate and scores them: logit = bias + sum over layers of w . mean(states).
class ProbeScore {
 public:
  explicit ProbeScore(const ProbeSpec& spec) : spec_(&spec), sums_(spec.weights.size(), 0.0F) {}

  /// Adds sums over `tokens` tokens: row `row` of `rows` in tapped [layers][rows][hidden].
  void add(std::span<const float> tapped, std::size_t row, std::size_t rows, std::int64_t tokens) {
    const std::size_t layers = spec_->layers.size(), hidden = sums_.size() / layers;
    for (std::size_t layer = 0; layer < layers; ++layer)
      for (std::size_t i = 0; i < hidden; ++i) sums_[layer * hidden + i] += tapped[(layer * rows + row) * hidden + i];
    tokens_ += tokens;
  }

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }

  /// The log-odds of being correct, before calibration. At least one token must have been added.
  [[nodiscard]] float logit() const {
    double dot = 0;
    for (std::size_t i = 0; i < sums_.size(); ++i)
      dot += static_cast<double>(sums_[i]) * static_cast<double>(spec_->weights[i]);
    return static_cast<float>(spec_->bias + dot / static_cast<double>(tokens_));
  }

 private:
  const ProbeSpec* spec_;
  std::vector<float> sums_;
  std::int64_t tokens_ = 0;
};

/// What a probe's score depends on, as one hash: who has read the same once need not read it again.
[[nodiscard]] std::string probe_input(const Model& model, std::span<const std::int32_t> prompt,
                                      std::span<const std::int32_t> tokens);

}  // namespace gavel
