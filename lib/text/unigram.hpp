#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "trie.hpp"
#include "word_model.hpp"

namespace gavel::text {

/// What a Unigram model is made of.
struct UnigramParts {
  Vocabulary vocabulary;
  std::vector<double> scores;  ///< log-probabilities, by id
  bool byte_fallback = false;
  std::int32_t unknown = -1;
  std::vector<std::int32_t> forbidden;  ///< ids that no text may become: the special tokens'
};

/// The segmentation of a word that is likeliest under a unigram language model (Kudo, ACL 2018), found by Viterbi's
/// algorithm in time linear in the word. Of two equally likely ones the reference's is found: sums are taken from left
/// to right in double precision, and a later segmentation has to be better to win.
class Unigram final : public WordModel {
 public:
  explicit Unigram(UnigramParts parts);

  [[nodiscard]] const Vocabulary& vocabulary() const override { return parts_.vocabulary; }
  void encode(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& out) const override;

 private:
  void find_best(std::string_view word, std::vector<Best>& best) const;
  void append_unknown(std::string_view text, std::vector<std::int32_t>& out) const;

  UnigramParts parts_;
  double unknown_score_ = 0;
  Trie trie_;
  std::vector<std::int32_t> byte_ids_;  // byte fallback: a byte's <0xNN> token
};

}  // namespace gavel::text
