#pragma once

#include <cstdint>

#include "engine/manifest.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// Most tokens that one forward pass takes; longer work is cut, and cancellation is looked at in between.
inline constexpr std::int64_t chunk_tokens = 512;

/// Tokens a cache holds for so many asked: the kernels take them in groups of 16.
[[nodiscard]] constexpr std::int64_t cache_tokens(std::int64_t tokens) {
  return tokens < 16 ? 16 : (tokens + 15) / 16 * 16;
}

/// Bytes of an encoder's activations in one pass whose longest sequence has so many tokens.
[[nodiscard]] std::uint64_t encoder_scratch(const Manifest& manifest, std::int64_t longest);

/// Bytes of weights, caches of `element` bytes a number, and one step's activations.
[[nodiscard]] MemoryEstimate estimate_memory(const Manifest& manifest, std::uint64_t weight_bytes,
                                             std::uint64_t element, std::int64_t prompt_tokens, std::int64_t candidates,
                                             std::int64_t max_tokens);

}  // namespace gavel
