#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gavel::text {

/// SentencePiece's precompiled normalisation (its "precompiled_charsmap"): a double-array trie (Yata's darts-clone)
/// from short texts to what they become. Immutable.
class CharacterMap {
 public:
  /// From the map's bytes. Throws corrupt_bundle, with `name` in the message, for bytes that are none.
  CharacterMap(std::string_view bytes, std::string_view name);

  /// Valid UTF-8 with what the map holds replaced, as the reference library does it: grapheme by grapheme where these
  /// are shorter than six bytes, else character by character, each replaced whole by what its shortest beginning
  /// becomes.
  [[nodiscard]] std::string operator()(std::string_view text) const;

 private:
  /// Appends what `part` becomes. False where the map has nothing for it.
  bool append_mapped(std::string_view part, std::string& out) const;
  [[nodiscard]] std::uint32_t unit(std::size_t at) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;  // each ended by a zero byte
};

}  // namespace gavel::text
