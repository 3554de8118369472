#include "gavel/sampling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "gavel/error.hpp"
#include "philox.hpp"
#include "row.hpp"

namespace gavel {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

[[noreturn]] void refuse(const char* option, double value, const char* range) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{} is {}, expected {}", option, value, range));
}

/// Infinities would make every other token's share NaN.
void drop_non_finite(std::vector<float>& row) {
  for (float& logit : row)
    if (!std::isfinite(logit)) logit = -infinity;
}

void penalise(std::vector<float>& row, std::span<const std::int32_t> seen, float repetition,
              std::span<const std::int32_t> present, float presence) {
  constexpr float most = std::numeric_limits<float>::max();
  for (const std::int32_t token : seen) {
    if (token < 0 || static_cast<std::size_t>(token) >= row.size()) continue;
    float& logit = row[static_cast<std::size_t>(token)];
    logit = std::min(most, logit < 0 ? logit * repetition : logit / repetition);
  }
  for (const std::int32_t token : present) {
    if (token < 0 || static_cast<std::size_t>(token) >= row.size()) continue;
    row[static_cast<std::size_t>(token)] -= presence;
  }
}

}  // namespace

void validate(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature))
    refuse("temperature", options.temperature, "0 (greedy) or more");
  if (options.top_k < 0) refuse("top_k", options.top_k, "0 (keep all) or more");
  if (!(options.top_p > 0 && options.top_p <= 1)) refuse("top_p", options.top_p, "more than 0 and at most 1");
  if (!(options.min_p >= 0 && options.min_p < 1)) refuse("min_p", options.min_p, "0 or more and less than 1");
  if (!(options.repetition_penalty > 0) || std::isinf(options.repetition_penalty))
    refuse("repetition_penalty", options.repetition_penalty, "more than 0");
  if (!(std::abs(options.presence_penalty) <= 2)) refuse("presence_penalty", options.presence_penalty, "-2 to 2");
}

double uniform(std::uint64_t seed, std::uint32_t candidate, std::uint32_t position) noexcept {
  const auto words =
      philox({position, candidate, 0, 0}, {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  const std::uint64_t bits = (static_cast<std::uint64_t>(words[1]) << 32 | words[0]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

Sampler::Sampler(const SamplingOptions& options) : options_(options) {
  validate(options);
  // Held within normal numbers: times infinity or a flushed denormal, a difference of 0 or -inf would become NaN.
  if (options.temperature > 0)
    scale_ =
        std::clamp(1.0F / options.temperature, std::numeric_limits<float>::min(), std::numeric_limits<float>::max());
}

Draw Sampler::draw(std::span<const float> logits, std::span<const std::int32_t> seen,
                   std::span<const std::int32_t> present, std::uint32_t candidate, std::uint32_t position) {
  maxima_.resize(row_blocks(logits.size()));
  std::span<const float> row = logits;
  const auto largest = [&] {
    const bool finite = row_kernels().block_maxima(row.data(), row.size(), maxima_.data());
    if (!finite && row.data() == logits.data()) {
      adjusted_.assign(logits.begin(), logits.end());
      drop_non_finite(adjusted_);
      row = adjusted_;
      row_kernels().block_maxima(row.data(), row.size(), maxima_.data());
    }
    const float max = maxima_.empty() ? -infinity : *std::max_element(maxima_.begin(), maxima_.end());
    if (max == -infinity)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("none of the {} logits is finite; the model or its input is broken", logits.size()));
    return max;
  };

  float max = largest();
  double mass = sum_blocks(row, max, 1.0F);
  const double log_sum = max + std::log(mass);

  const bool repetition = options_.repetition_penalty != 1.0F && !seen.empty();
  const bool presence = options_.presence_penalty != 0.0F && !present.empty();
  if (repetition || presence) {
    if (row.data() == logits.data()) adjusted_.assign(logits.begin(), logits.end());
    penalise(adjusted_, repetition ? seen : std::span<const std::int32_t>{}, options_.repetition_penalty,
             presence ? present : std::span<const std::int32_t>{}, options_.presence_penalty);
    row = adjusted_;
    max = largest();
    sums_.clear();
  } else if (scale_ != 1.0F) {
    sums_.clear();
  }

  const std::size_t token = choose(row, max, uniform(options_.seed, candidate, position));
  return {static_cast<std::int32_t>(token), static_cast<float>(logits[token] - log_sum)};
}

/// `sums_` still holds the row's block sums where they are those of the plain softmax; else it is empty.
std::size_t Sampler::choose(std::span<const float> row, float max, double random) {
  if (options_.temperature == 0) {
    const auto block = static_cast<std::size_t>(std::find(maxima_.begin(), maxima_.end(), max) - maxima_.begin());
    const auto first = row.begin() + static_cast<std::ptrdiff_t>(block * row_block);
    return static_cast<std::size_t>(std::find(first, row.end(), max) - row.begin());
  }
  if (options_.top_k == 0 && options_.top_p == 1 && options_.min_p == 0) return choose_from_all(row, max, random);

  select(row, max);
  double total = 0;
  for (float& weight : weights_) {
    if (weight < options_.min_p) weight = 0;
    total += weight;
  }
  const double target = random * total;
  double sum = 0;
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0) continue;
    chosen = i;
    sum += weights_[i];
    if (sum > target) break;
  }
  return static_cast<std::size_t>(tokens_[chosen]);
}

std::size_t Sampler::choose_from_all(std::span<const float> row, float max, double random) {
  const double total = sums_.empty() ? sum_blocks(row, max, scale_) : std::accumulate(sums_.begin(), sums_.end(), 0.0);
  const double target = random * total;
  double sum = 0;
  std::size_t block = 0;
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (sums_[i] == 0) continue;
    block = i;
    if (sum + sums_[i] > target) break;
    sum += sums_[i];
  }
  const auto values = row.subspan(block * row_block, std::min(row_block, row.size() - block * row_block));
  weights_.resize(values.size());
  row_kernels().weights(values.data(), values.size(), max, scale_, weights_.data());
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (weights_[i] == 0) continue;
    chosen = i;
    sum += weights_[i];
    if (sum > target) break;
  }
  return block * row_block + chosen;
}

/// Leaves what top_k and top_p keep, with its weights. min_p is a floor on the weights alone, so the draw applies it.
void Sampler::select(std::span<const float> row, float max) {
  const auto weigh = [&] {
    weights_.resize(logits_.size());
    row_kernels().weights(logits_.data(), logits_.size(), max, scale_, weights_.data());
  };
  if (options_.top_k > 0) {
    const std::size_t k = std::min(static_cast<std::size_t>(options_.top_k), row.size());
    collect_top_k(row, max, k);
    weights_.assign(logits_.size(), 1.0F);  // each counts the same
    if (logits_.size() > k) keep_likeliest(static_cast<double>(k));
    weigh();
    if (options_.top_p < 1) keep_likeliest(options_.top_p * std::accumulate(weights_.begin(), weights_.end(), 0.0));
  } else if (options_.top_p < 1) {
    const double total =
        sums_.empty() ? sum_blocks(row, max, scale_) : std::accumulate(sums_.begin(), sums_.end(), 0.0);
    collect_top_p(row, max, options_.top_p * total);
    weigh();
    keep_likeliest(options_.top_p * total);
  } else {
    constexpr float slack = 1e-4F;  // the weights, compared with min_p itself, decide
    collect(row, max + (std::log(options_.min_p) - slack) / scale_);
    weigh();
  }
}

/// Tokens with a logit of at least `cut`, in order of ids. Blocks that lie below it are not read.
void Sampler::collect(std::span<const float> row, float cut) {
  std::size_t count = 0;
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    if (maxima_[block] < cut) continue;
    if (logits_.size() < count + row_block) {
      logits_.resize(2 * count + row_block);
      tokens_.resize(logits_.size());
    }
    const std::size_t end = std::min(row.size(), (block + 1) * row_block);
    for (std::size_t i = block * row_block; i < end; ++i) {  // written always and counted where kept: no branch to miss
      logits_[count] = row[i];
      tokens_[count] = static_cast<std::int32_t>(i);
      count += row[i] >= cut ? 1 : 0;
    }
  }
  logits_.resize(count);
  tokens_.resize(count);
}

/// At least the k likeliest tokens, and not many more.
void Sampler::collect_top_k(std::span<const float> row, float max, std::size_t k) {
  if (k <= maxima_.size()) {
    // The k-th largest maximum of a block: at least k tokens reach it.
    sums_.assign(maxima_.begin(), maxima_.end());
    const auto kth = sums_.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(sums_.begin(), kth, sums_.end(), std::greater<>());
    return collect(row, *kth);
  }
  for (float range = 8; range < 1e3F; range *= 2) {
    collect(row, max - range);
    if (tokens_.size() >= k) return;
  }
  collect(row, -infinity);
}

/// Widens the range below the maximum until it holds the mass. What lies further than 88 tempered logits weighs
/// nothing.
void Sampler::collect_top_p(std::span<const float> row, float max, double mass) {
  for (float range = 4; range < 200; range *= 2) {
    collect(row, max - range / scale_);
    masses_.resize(row_blocks(logits_.size()));
    row_kernels().block_sums(logits_.data(), logits_.size(), max, scale_, masses_.data());
    if (std::accumulate(masses_.begin(), masses_.end(), 0.0) >= mass) break;
  }
}

/// Keeps the smallest set of the likeliest tokens whose weights reach the mass. A histogram of the weights over the
/// logits finds the bin in which the set ends, and only that bin's tokens are put in order.
void Sampler::keep_likeliest(double mass) {
  constexpr std::size_t bins = 512;
  float least = infinity, most = -infinity;
  for (const float logit : logits_) {
    least = logit < least && logit > -infinity ? logit : least;
    most = logit > most ? logit : most;
  }
  const float factor = static_cast<float>(bins) / (most - least);
  const auto bin = [&](float logit) {
    const float place = (most - logit) * factor;  // a NaN, of a range that is zero or infinite, goes to the last bin
    return place < static_cast<float>(bins - 1) ? static_cast<std::size_t>(place) : bins - 1;
  };
  std::array<double, bins> histogram{};
  for (std::size_t i = 0; i < logits_.size(); ++i) histogram[bin(logits_[i])] += weights_[i];
  std::size_t last_bin = 0;
  while (last_bin + 1 < bins && histogram[last_bin] < mass) mass -= histogram[last_bin++];

  order_.clear();
  for (std::size_t i = 0; i < logits_.size(); ++i)
    if (bin(logits_[i]) == last_bin) order_.push_back(static_cast<std::uint32_t>(i));
  // None where the bins before it were all there is, but for rounding.
  const std::size_t end = order_.empty() ? 0 : end_of_mass(mass);
  const float end_logit = logits_[end];

  std::size_t kept = 0;
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    const float logit = logits_[i];
    const bool keep = order_.empty() ? bin(logit) < last_bin : logit > end_logit || (logit == end_logit && i <= end);
    logits_[kept] = logit;
    tokens_[kept] = tokens_[i];
    weights_[kept] = weights_[i];
    kept += keep ? 1 : 0;
  }
  logits_.resize(kept);
  tokens_.resize(kept);
  weights_.resize(kept);
}

/// The last of the tokens in `order_`, from the likeliest on, that it takes to reach the mass: a quickselect by weight.
std::size_t Sampler::end_of_mass(double mass) {
  constexpr std::ptrdiff_t few = 32;
  const auto likelier = [&](auto a, auto b) { return before(a, b); };
  auto first = order_.begin(), last = order_.end();
  while (last - first > few) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, likelier);
    double half = 0;
    for (auto i = first; i != middle; ++i) half += weights_[*i];
    if (half >= mass) {
      last = middle;
    } else {
      mass -= half;
      first = middle;
    }
  }
  std::sort(first, last, likelier);
  while (first + 1 != last && (mass -= weights_[*first]) > 0) ++first;
  return *first;
}

bool Sampler::before(std::uint32_t a, std::uint32_t b) const {
  return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
}

double Sampler::sum_blocks(std::span<const float> row, float max, float scale) {
  sums_.resize(maxima_.size());
  row_kernels().block_sums(row.data(), row.size(), max, scale, sums_.data());
  return std::accumulate(sums_.begin(), sums_.end(), 0.0);
}

}  // namespace gavel
