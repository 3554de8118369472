#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bpe.hpp"
#include "json_reader.hpp"
#include "tokenizer_json.hpp"
#include "unigram.hpp"

namespace gavel::text {

/// The model's part of a tokenizer.json, from a reader that stands at its value. `name` is the file's, for messages.
/// All throw corrupt_bundle for a model that contradicts itself, unsupported naming what this build does not know.

/// `byte_level`: tokens are written in the byte alphabet; those that are not go to `file.unreachable`.
[[nodiscard]] BpeParts read_bpe(JsonReader& reader, bool byte_level, TokenizerJson& file, std::string_view name);

[[nodiscard]] UnigramParts read_unigram(JsonReader& reader, std::string_view name);

[[noreturn]] void corrupt(std::string_view name, const std::string& what);

inline constexpr std::int64_t largest_id = 1 << 24;

}  // namespace gavel::text
