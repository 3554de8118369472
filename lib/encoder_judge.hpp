#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gavel/cancel.hpp"
#include "gavel/candidate.hpp"
#include "gavel/model.hpp"
#include "gavel/task.hpp"

namespace gavel {

/// What an encoder says of one candidate.
struct EncoderReading {
  std::vector<float> logits;   ///< one per label
  std::int64_t truncated = 0;  ///< tokens of the task or the candidate that did not fit
  std::string feedback;        ///< where it was asked for
};

/// Reads each candidate with its task, and writes feedback of up to `feedback_tokens` for it; 0 writes none. The task
/// is not blank, nor is a candidate. Throws invalid_argument where the two are too long and the bundle refuses that, or
/// where a candidate alone leaves its task no room.
[[nodiscard]] std::vector<EncoderReading> read_with_encoder(const Model& model, const Task& task,
                                                            const std::vector<Candidate>& candidates,
                                                            std::int32_t feedback_tokens, const Cancel& cancel);

}  // namespace gavel
