#pragma once

#include <cstddef>
#include <string_view>

namespace gavel::text {

/// Length in bytes of the extended grapheme cluster (UAX 29, Unicode 17 as the reference knows it) that begins at `at`
/// in valid UTF-8. Where clusters are longer than eight bytes the end may be an older Unicode's.
[[nodiscard]] std::size_t grapheme_length(std::string_view text, std::size_t at);

}  // namespace gavel::text
