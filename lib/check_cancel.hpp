#pragma once

#include "gavel/cancel.hpp"

namespace gavel {

/// Throws cancelled where the caller asked for it or the deadline has passed.
void check_cancel(const Cancel& cancel);

}  // namespace gavel
