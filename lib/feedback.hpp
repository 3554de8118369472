#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/encoder.hpp"

namespace gavel {

/// What an encoder's decoder writes after each prompt: the likeliest token every time, until it ends or there are
/// `most`. Special tokens are left out of the texts.
[[nodiscard]] std::vector<std::string> write_feedback(const Model& model, std::span<const Encoder::Tokens> prompts,
                                                      std::int32_t most, const Cancel& cancel);

}  // namespace gavel
