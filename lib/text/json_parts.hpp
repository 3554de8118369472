#pragma once

#include <nlohmann/json.hpp>
#include <string>
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
  bool asks_for_start = false;  ///< treats the text's beginning in its own way, wherever a normalizer moves it to
};
[[nodiscard]] PreTokenizerPart read_pretokenizer(const nlohmann::json& value, std::string_view name);

[[nodiscard]] Decoder read_decoder(const nlohmann::json& value, std::string_view name);

[[nodiscard]] std::vector<AddedToken> read_added_tokens(const nlohmann::json& value, std::string_view name);

/// Gavel puts special tokens around a text itself, as its prompts say; that only they are what this part adds is
/// still made sure of.
void check_post_processor(const nlohmann::json& value, std::string_view name);

/// The type of a part ("normalizer", "pre_tokenizer", "decoder", "post_processor"). Throws unsupported for one that
/// this build does not know, or that has a member it does not know.
[[nodiscard]] std::string known_type(const nlohmann::json& value, std::string_view name, std::string_view part);

/// What a Metaspace, as pre-tokenizer or as decoder, says.
struct Metaspace {
  std::string mark;     ///< stands for a space
  bool always = false;  ///< put before every piece of text
  bool first = false;   ///< put before the whole text
  bool split = true;    ///< words are split before it
};
[[nodiscard]] Metaspace read_metaspace(const nlohmann::json& value, std::string_view name, std::string_view part);

[[noreturn]] void refuse_part(std::string_view name, std::string_view part, std::string_view found);

}  // namespace gavel::text
