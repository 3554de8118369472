#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gavel::text {

/// Byte-level vocabularies write each byte as one printable character (GPT-2's alphabet: a space is U+0120). The
/// bytes a written token stands for, or none where it holds a character outside the alphabet.
[[nodiscard]] std::optional<std::string> bytes_of_written(std::string_view written);

}  // namespace gavel::text
