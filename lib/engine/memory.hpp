#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gavel {

/// Memory this process may still take without swapping or being killed, in bytes: the machine's available memory or
/// the control group's limit, whichever is less.
[[nodiscard]] std::uint64_t available_memory();

/// Throws out_of_memory, saying how much `what` needs and how much there is, where it does not fit.
void require_memory(std::uint64_t bytes, std::string_view what);

/// Bytes as people read them, such as "1.4 GB".
[[nodiscard]] std::string readable(std::uint64_t bytes);

}  // namespace gavel
