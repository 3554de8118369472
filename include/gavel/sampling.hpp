#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gavel {

/// How tokens are drawn. Filters apply in the order penalties, temperature, top_k, top_p, min_p (the order of the
/// `transformers` logits processors).
struct SamplingOptions {
  float temperature = 0.8F;         ///< > 0; 0 means greedy
  std::int32_t top_k = 0;           ///< keep the k most likely tokens; 0 keeps all
  float top_p = 0.95F;              ///< keep the smallest set with this probability mass, in (0, 1]; 1 keeps all
  float min_p = 0.0F;               ///< drop tokens below min_p times the likeliest one's probability, in [0, 1)
  float repetition_penalty = 1.0F;  ///< > 0; divides positive and multiplies negative logits of tokens seen in prompt
                                    ///< or candidate (Keskar et al., arXiv 1909.05858); 1 is off
  float presence_penalty = 0.0F;    ///< subtracted once from logits of tokens already in the candidate, in [-2, 2]
  std::uint64_t seed = 0;
};

/// Throws invalid_argument naming the option, its value and the allowed range.
void validate(const SamplingOptions& options);

/// The uniform draw in [0, 1) of (seed, candidate, position): Philox4x32-10 (Salmon et al., SC 2011) keyed on the
/// seed with (position, candidate) as its counter, so a draw depends on neither N nor the neighbours.
[[nodiscard]] double uniform(std::uint64_t seed, std::uint32_t candidate, std::uint32_t position) noexcept;

/// A drawn token and its natural log-probability under the model itself (temperature 1, no filter, no penalty).
struct Draw {
  std::int32_t token = -1;
  float logprob = 0.0F;
};

/// Draws one token from one row of logits: the first kept token, in order of ids, at which the summed probability
/// passes the uniform draw. Where logits are equal, lower ids are the more likely ones. `seen` are the distinct tokens
/// of prompt and candidate (repetition penalty), `present` those of the candidate (presence penalty); both may be
/// empty, and ids outside the row are passed over. A logit that is NaN or infinite is never drawn. Selects, never sorts
/// the vocabulary. Throws invalid_argument where the logits hold no finite value. Not thread-safe; its buffers are
/// reused between calls.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  [[nodiscard]] Draw draw(std::span<const float> logits, std::span<const std::int32_t> seen,
                          std::span<const std::int32_t> present, std::uint32_t candidate, std::uint32_t position);

 private:
  [[nodiscard]] std::size_t choose(std::span<const float> row, float max, double random);
  [[nodiscard]] std::size_t choose_from_all(std::span<const float> row, float max, double random);
  void select(std::span<const float> row, float max);
  void collect(std::span<const float> row, float cut);
  void collect_top_k(std::span<const float> row, float max, std::size_t k);
  void collect_top_p(std::span<const float> row, float max, double mass);
  void keep_likeliest(double mass);
  [[nodiscard]] std::size_t end_of_mass(double mass);
  [[nodiscard]] bool before(std::uint32_t a, std::uint32_t b) const;
  [[nodiscard]] double sum_blocks(std::span<const float> row, float max, float scale);

  SamplingOptions options_;
  float scale_ = 1.0F;                   // 1 / temperature
  std::vector<float> adjusted_;          // the row with penalties, where there are any
  std::vector<float> maxima_, sums_;     // per block of the row
  std::vector<float> masses_;            // per block of the kept tokens
  std::vector<float> logits_, weights_;  // of the kept tokens, in order of ids
  std::vector<std::int32_t> tokens_;
  std::vector<std::uint32_t> order_;  // the few kept tokens that are put in order
};

}  // namespace gavel
