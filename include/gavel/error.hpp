#pragma once

#include <stdexcept>
#include <string>

namespace gavel {

/// What kind of thing went wrong. The values are part of the C ABI and never change.
enum class ErrorCode : int {
  invalid_argument = 1,  ///< the caller's input: an option, a text, a call out of order
  not_found = 2,         ///< a file, a tensor, a prompt or a device that is not there
  corrupt_bundle = 3,    ///< a bundle that contradicts its manifest or itself
  unsupported = 4,       ///< well-formed, but not something this build can do
  out_of_memory = 5,     ///< an allocation that failed; the object stays usable
  cancelled = 6,         ///< a stop token or a deadline ended the call
  device = 7,            ///< the accelerator is missing or failed
  internal = 8,          ///< a defect in Gavel or its libraries
  io = 9,                ///< reading or writing failed (full disk, rights)
};

/// The one exception Gavel throws. The message says what, where, and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// The code's name as the documentation writes it, such as "corrupt_bundle".
[[nodiscard]] constexpr const char* name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::corrupt_bundle: return "corrupt_bundle";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::out_of_memory: return "out_of_memory";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::device: return "device";
    case ErrorCode::internal: return "internal";
    case ErrorCode::io: return "io";
  }
  return "unknown";
}

}  // namespace gavel
