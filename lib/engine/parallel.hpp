#pragma once

#include <cstdint>
#include <functional>

namespace gavel {

/// Runs `work(i)` for i in [0, count) in the threads that the model's operators use.
void parallel(std::int64_t count, const std::function<void(std::int64_t)>& work);

}  // namespace gavel
