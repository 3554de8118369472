#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "added_tokens.hpp"
#include "decoder.hpp"
#include "normalizer.hpp"
#include "pretokenizer.hpp"
#include "word_model.hpp"

namespace gavel::text {

/// A tokenizer.json, read.
struct TokenizerJson {
  Normalizer normalizer;
  PreTokenizer pretokenizer;
  std::unique_ptr<const WordModel> model;
  Decoder decoder;
  std::vector<AddedToken> added;
  /// Byte-level tokens written with characters outside the byte alphabet: no text becomes them, but they have ids.
  std::unordered_map<std::string, std::int32_t> unreachable;
};

/// Throws corrupt_bundle for a file that contradicts itself, unsupported naming the part this build does not know.
[[nodiscard]] TokenizerJson read_tokenizer_json(std::string_view json, std::string_view name);

}  // namespace gavel::text
