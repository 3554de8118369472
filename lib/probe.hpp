#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "engine/manifest.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// Whether sums over tokens are all that a head needs of them.
[[nodiscard]] inline bool sums_suffice(const ProbeSpec::Head& head) {
  for (const ProbeSpec::Term& term : head.terms)
    if (term.pooling != ProbeSpec::Pooling::mean) return false;
  return true;
}

/// Scores the tokens of one candidate, seen one after another, by one head of a probe. Every pooling is linear in the
/// states but for its weights, so that a term is a few running numbers: attention's are those of an online softmax
/// (Milakov and Gimelshein, arXiv 1805.02867).
class ProbeScore {
 public:
  explicit ProbeScore(const ProbeSpec::Head& head) : head_(&head), terms_(head.terms.size()) {}

  /// Adds row `row` of `rows` in tapped [taps][rows][hidden]: one token, or the sum of several where sums suffice.
  void add(std::span<const float> tapped, std::size_t row, std::size_t rows, std::int64_t tokens = 1) {
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      const ProbeSpec::Term& term = head_->terms[i];
      const std::size_t hidden = term.weights.size();
      terms_[i].add(term, tapped.subspan((term.tap * rows + row) * hidden, hidden));
    }
    tokens_ += tokens;
  }

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }
  [[nodiscard]] const ProbeSpec::Head& head() const { return *head_; }

  /// The log-odds of being correct, before calibration. At least one token must have been added.
  [[nodiscard]] float logit() const {
    double logit = head_->bias;
    for (std::size_t i = 0; i < terms_.size(); ++i) switch (head_->terms[i].pooling) {
        case ProbeSpec::Pooling::mean: logit += terms_[i].value / static_cast<double>(tokens_); break;
        case ProbeSpec::Pooling::tail: logit += terms_[i].tail_mean(); break;
        case ProbeSpec::Pooling::last: logit += terms_[i].value; break;
        case ProbeSpec::Pooling::attention: logit += terms_[i].value / terms_[i].total; break;
      }
    return static_cast<float>(logit);
  }

 private:
  static double dot(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  }

  struct Running {
    double value = 0, total = 0, peak = -std::numeric_limits<double>::infinity();
    std::vector<double> each;  // of the tail, whose beginning is known at the end

    [[nodiscard]] double tail_mean() const {
      const auto count = static_cast<std::ptrdiff_t>((each.size() + 3) / 4);
      return std::accumulate(each.end() - count, each.end(), 0.0) / static_cast<double>(count);
    }

    void add(const ProbeSpec::Term& term, std::span<const float> state) {
      const double weighed = dot(term.weights, state);
      if (term.pooling == ProbeSpec::Pooling::mean) {
        value += weighed;
      } else if (term.pooling == ProbeSpec::Pooling::last) {
        value = weighed;
      } else if (term.pooling == ProbeSpec::Pooling::tail) {
        each.push_back(weighed);
      } else {
        const double score = dot(term.query, state), now = std::max(peak, score);
        const double keep = std::exp(peak - now), weight = std::exp(score - now);
        value = value * keep + weighed * weight;
        total = total * keep + weight;
        peak = now;
      }
    }
  };

  const ProbeSpec::Head* head_;
  std::vector<Running> terms_;
  std::int64_t tokens_ = 0;
};

/// What a probe's score depends on, as one hash: who has read the same once need not read it again.
[[nodiscard]] std::string probe_input(const Model& model, std::span<const std::int32_t> prompt,
                                      std::span<const std::int32_t> tokens);

}  // namespace gavel
