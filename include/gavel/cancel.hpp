#pragma once

#include <chrono>
#include <optional>
#include <stop_token>

namespace gavel {

/// What may end a long call early. Checked before every step, also between the chunks of a prefill; the call then
/// throws Error with code cancelled and the object stays usable.
struct Cancel {
  std::stop_token token;
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

}  // namespace gavel
