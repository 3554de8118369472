#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vocabulary.hpp"

namespace gavel::text {

/// What turns words into ids: a tokenizer's model in the narrow sense. May be used from several threads.
class WordModel {
 public:
  WordModel() = default;
  WordModel(const WordModel&) = delete;
  WordModel& operator=(const WordModel&) = delete;
  virtual ~WordModel() = default;

  /// The best segmentation of a word's beginning, as Viterbi's algorithm remembers it.
  struct Best {
    double score = 0;
    std::size_t begin = 0;  ///< of its last token
    std::int32_t id = -1;   ///< of its last token; -1 where there is none yet
  };

  /// Working memory; one per thread.
  struct Scratch {
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> ranks;
    std::vector<Best> best;
    std::vector<std::size_t> ends;
  };

  [[nodiscard]] virtual const Vocabulary& vocabulary() const = 0;

  /// Appends the ids of one word (not empty, valid UTF-8).
  virtual void encode(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& out) const = 0;
};

/// The ids of the tokens written <0x00> to <0xFF>, -1 where there is none.
[[nodiscard]] std::vector<std::int32_t> byte_token_ids(const Vocabulary& vocabulary);

}  // namespace gavel::text
