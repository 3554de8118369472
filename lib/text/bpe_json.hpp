#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "added_tokens.hpp"
#include "bpe.hpp"
#include "decoder.hpp"
#include "normalizer.hpp"
#include "pretokenizer.hpp"

namespace gavel::text {

/// A tokenizer.json, read.
struct BpeFile {
  Normalizer normalizer;
  PreTokenizer pretokenizer;
  BpeParts model;
  Decoder decoder;
  std::vector<AddedToken> added;
  /// Byte-level tokens written with characters outside the byte alphabet: no text becomes them, but they have ids.
  std::unordered_map<std::string, std::int32_t> unreachable;
};

/// Throws corrupt_bundle for a file that contradicts itself, unsupported naming the part this build does not know.
[[nodiscard]] BpeFile read_bpe_json(std::string_view json, std::string_view name);

}  // namespace gavel::text
