#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gavel/error.hpp"
#include "utf8.hpp"

namespace gavel::text {

/// Throws invalid_argument naming the first byte that is not UTF-8.
inline void require_utf8(std::string_view text) {
  const std::size_t bad = find_invalid_utf8(text);
  if (bad == std::string_view::npos) return;
  throw Error(ErrorCode::invalid_argument, "the text is not UTF-8: byte " + std::to_string(bad) +
                                               " does not belong to a character; convert it first");
}

/// Nothing but white space.
inline bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// Throws invalid_argument for an id that no token has.
inline void require_id(std::int32_t id, bool known, std::int32_t size) {
  if (known) return;
  throw Error(ErrorCode::invalid_argument, "token id " + std::to_string(id) + " is not in the vocabulary (ids 0 to " +
                                               std::to_string(size - 1) + ")");
}

}  // namespace gavel::text
