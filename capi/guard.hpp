#pragma once

#include <string>
#include <string_view>

#include "gavel.h"
#include "gavel/error.hpp"

namespace gavel::capi {

/// Copies the message, or two halves of one, into this thread's buffer. Never allocates, so it can tell of a bad_alloc.
void set_message(std::string_view message, std::string_view tail = {}) noexcept;

/// Turns the exception in flight into a status and this thread's message.
[[nodiscard]] gavel_status status_of_current_exception() noexcept;

/// Runs the body of one entry of the ABI: nothing it throws gets out.
template <class Body>
[[nodiscard]] gavel_status guard(Body&& body) noexcept {
  try {
    body();
    return GAVEL_OK;
  } catch (...) {
    return status_of_current_exception();
  }
}

[[noreturn]] inline void refuse(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

/// The object a pointer argument means; `name` is the argument's.
template <class T>
T& need(T* pointer, const char* name) {
  if (pointer == nullptr) refuse(std::string(name) + " is NULL; pass a valid pointer");
  return *pointer;
}

/// The same for the array of an argument, which may be NULL where it is empty.
template <class T>
T* need_array(T* pointer, std::size_t count, const char* name) {
  if (pointer == nullptr && count != 0) {
    refuse(std::string(name) + " is NULL but has " + std::to_string(count) + " elements; pass the array");
  }
  return pointer;
}

/// The caller's array must have one place per candidate.
inline void check_count(std::size_t count, std::size_t candidates) {
  if (count != candidates) {
    refuse("count is " + std::to_string(count) + ", but there are " + std::to_string(candidates) + " candidates");
  }
}

/// An element of a list that holds `count`.
inline void check_index(std::size_t index, std::size_t count) {
  if (index >= count) {
    refuse("index is " + std::to_string(index) + ", but there are " + std::to_string(count));
  }
}

/// Clears a handle first, so that it is NULL on failure.
template <class T>
T*& need_out(T** out) {
  need(out, "out") = nullptr;
  return *out;
}

}  // namespace gavel::capi
