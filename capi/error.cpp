#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "guard.hpp"

static_assert(static_cast<int>(gavel::ErrorCode::invalid_argument) == GAVEL_INVALID_ARGUMENT);
static_assert(static_cast<int>(gavel::ErrorCode::not_found) == GAVEL_NOT_FOUND);
static_assert(static_cast<int>(gavel::ErrorCode::corrupt_bundle) == GAVEL_CORRUPT_BUNDLE);
static_assert(static_cast<int>(gavel::ErrorCode::unsupported) == GAVEL_UNSUPPORTED);
static_assert(static_cast<int>(gavel::ErrorCode::out_of_memory) == GAVEL_OUT_OF_MEMORY);
static_assert(static_cast<int>(gavel::ErrorCode::cancelled) == GAVEL_CANCELLED);
static_assert(static_cast<int>(gavel::ErrorCode::device) == GAVEL_DEVICE);
static_assert(static_cast<int>(gavel::ErrorCode::internal) == GAVEL_INTERNAL);
static_assert(static_cast<int>(gavel::ErrorCode::io) == GAVEL_IO);

namespace gavel::capi {
namespace {

thread_local std::array<char, 2048> last_error{};

/// The longest prefix of `text` of at most `room` bytes that ends between characters.
std::string_view cut(std::string_view text, std::size_t room) noexcept {
  if (text.size() <= room) return text;
  while (room > 0 && (static_cast<unsigned char>(text[room]) & 0xC0U) == 0x80U) --room;
  return text.substr(0, room);
}

}  // namespace

void set_message(std::string_view message, std::string_view tail) noexcept {
  // The message may be this very buffer's text, so it is moved rather than copied.
  const std::string_view head = cut(message, last_error.size() - 1);
  std::memmove(last_error.data(), head.data(), head.size());
  const std::string_view rest = cut(tail, last_error.size() - 1 - head.size());
  std::copy(rest.begin(), rest.end(), last_error.data() + head.size());
  last_error[head.size() + rest.size()] = '\0';
}

gavel_status status_of_current_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    set_message(error.what());
    return static_cast<gavel_status>(error.code());
  } catch (const std::bad_alloc&) {
    set_message("out of memory: an allocation failed; free memory, or ask for fewer candidates or tokens");
    return GAVEL_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    set_message("internal error, please report it: ", error.what());
    return GAVEL_INTERNAL;
  } catch (...) {
    set_message("internal error, please report it: an exception of unknown type");
    return GAVEL_INTERNAL;
  }
}

}  // namespace gavel::capi

const char* gavel_version() {
  return GAVEL_VERSION;
}

int32_t gavel_version_number() {
  return GAVEL_VERSION_NUMBER;
}

const char* gavel_status_name(int32_t status) {
  return status == GAVEL_OK ? "ok" : gavel::name(static_cast<gavel::ErrorCode>(status));
}

const char* gavel_last_error() {
  return gavel::capi::last_error.data();
}

void gavel_set_last_error(const char* message) {
  gavel::capi::set_message(message == nullptr ? "" : message);
}

void gavel_free(void* memory) {
  std::free(memory);
}
