#pragma once

#include <string>

#include "gavel/ranker.hpp"

namespace gavel {

/// Why the first of the ranking is the best, in one sentence.
[[nodiscard]] std::string reason(const Ranking& ranking);

}  // namespace gavel
