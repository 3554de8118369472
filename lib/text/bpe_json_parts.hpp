#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "added_tokens.hpp"
#include "decoder.hpp"
#include "normalizer.hpp"
#include "pretokenizer.hpp"

namespace gavel::text {

/// The small parts of a tokenizer.json, each from its JSON value (null where the file has none). `name` is the
/// file's, for messages. All throw unsupported naming the part, or nlohmann's exceptions for missing or wrong fields.

[[nodiscard]] Normalizer read_normalizer(const nlohmann::json& value, std::string_view name);

struct PreTokenizerPart {
  PreTokenizer pretokenizer;
  bool byte_level = false;
};
[[nodiscard]] PreTokenizerPart read_pretokenizer(const nlohmann::json& value, std::string_view name);

[[nodiscard]] Decoder read_decoder(const nlohmann::json& value, std::string_view name);

[[nodiscard]] std::vector<AddedToken> read_added_tokens(const nlohmann::json& value, std::string_view name);

[[noreturn]] void refuse_part(std::string_view name, std::string_view part, std::string_view found);

}  // namespace gavel::text
