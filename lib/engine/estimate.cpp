#include "engine/estimate.hpp"

#include <algorithm>

namespace gavel {

std::uint64_t encoder_scratch(const Manifest& manifest, std::int64_t longest) {
  const std::int64_t tokens = std::max(chunk_tokens, longest), width = manifest.heads * manifest.head_dim;
  // At its widest a block holds the residual stream, queries, keys and values, and a gated feed-forward's products; a
  // decoder's classification holds its caches too. Relative positions are a bias for every pair of tokens.
  const std::int64_t widest =
      3 * manifest.hidden + std::max(4 * width, 3 * manifest.intermediate) + 4 * manifest.decoder_layers * width;
  const std::int64_t biases = manifest.family == "t5" ? 2 * manifest.heads * longest * longest : 0;
  return static_cast<std::uint64_t>(tokens * widest + biases) * sizeof(float);
}

MemoryEstimate estimate_memory(const Manifest& manifest, std::uint64_t weight_bytes, std::uint64_t element,
                               std::int64_t prompt_tokens, std::int64_t candidates, std::int64_t max_tokens) {
  const auto bytes = [](std::int64_t count, std::uint64_t size) { return static_cast<std::uint64_t>(count) * size; };
  const std::int64_t per_token = 2 * manifest.layers * manifest.kv_heads * manifest.head_dim;
  const std::int64_t tokens = std::min(chunk_tokens, std::max(prompt_tokens, candidates * max_tokens));
  // At its widest a block holds the residual stream, the gate and up products and their gated product.
  const std::int64_t widest = 2 * manifest.hidden + 3 * manifest.intermediate;
  MemoryEstimate estimate;
  estimate.weights = weight_bytes;
  if (manifest.encodes()) {
    estimate.scratch = encoder_scratch(manifest, std::min(manifest.context, prompt_tokens + max_tokens));
    return estimate;
  }
  estimate.prefix = bytes(per_token * cache_tokens(prompt_tokens), element);
  estimate.own = bytes(per_token * candidates * cache_tokens(max_tokens), element);
  estimate.scratch = bytes(tokens * widest + candidates * manifest.vocabulary, sizeof(float));
  return estimate;
}

}  // namespace gavel
