#include "check_cancel.hpp"

#include "gavel/error.hpp"

namespace gavel {

void check_cancel(const Cancel& cancel) {
  if (cancel.token.stop_requested()) throw Error(ErrorCode::cancelled, "the call was cancelled");
  if (cancel.deadline && std::chrono::steady_clock::now() >= *cancel.deadline)
    throw Error(ErrorCode::cancelled, "the call's deadline has passed");
}

}  // namespace gavel
