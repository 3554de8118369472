#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "word_model.hpp"

namespace gavel::text {

/// Which two neighbouring tokens become one, and in which order (Sennrich et al., ACL 2016).
class Merges {
 public:
  struct Merge {
    std::uint32_t rank = 0;  ///< lower is earlier
    std::int32_t id = -1;    ///< the token that both become
  };

  void reserve(std::size_t count);
  /// A pair named again takes its last rank.
  void add(std::int32_t left, std::int32_t right, Merge merge);
  /// Takes out the merges that give one of these ids (true by id).
  void forbid(const std::vector<bool>& ids);
  /// Whether a merge gives one of these ids.
  [[nodiscard]] bool gives(const std::vector<bool>& ids) const;
  /// Null where the two do not merge.
  [[nodiscard]] const Merge* find(std::int32_t left, std::int32_t right) const noexcept;

 private:
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    Merge merge;
  };
  [[nodiscard]] std::size_t slot_of(std::uint64_t pair) const noexcept;
  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

/// What a BPE model is made of.
struct BpeParts {
  Vocabulary vocabulary;  ///< tokens as they occur in words: bytes where the model is byte-level
  Merges merges;
  bool byte_level = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  ///< a word that is a token stays whole
  bool fuse_unknown = false;
  std::int32_t unknown = -1;
  std::vector<std::int32_t> forbidden;  ///< ids that no text may become: the special tokens'
};

/// Words to ids by merging neighbours.
class Bpe final : public WordModel {
 public:
  explicit Bpe(BpeParts parts);

  [[nodiscard]] const Vocabulary& vocabulary() const override { return parts_.vocabulary; }
  void encode(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& out) const override;

 private:
  void symbols(std::string_view word, std::vector<std::int32_t>& ids) const;
  void symbols_by_character(std::string_view word, std::vector<std::int32_t>& ids) const;
  [[nodiscard]] std::int32_t allowed(std::int32_t id) const;

  BpeParts parts_;
  std::vector<bool> forbidden_;         // by id
  std::optional<Merges> safe_merges_;   // without those that give a forbidden id; only where there are any
  std::vector<std::int32_t> byte_ids_;  // byte-level: a byte's token; byte fallback: its <0xNN> token
  // By id: whether the token's own text encodes to it alone; 0 until a word asks. Most words are tokens, so most
  // need one look-up and no merging.
  enum Whole : std::uint8_t { unasked = 0, whole = 1, parts = 2 };
  std::unique_ptr<std::atomic<std::uint8_t>[]> whole_;
};

/// Merges `ids` in place, the lowest rank first and the leftmost of equals.
void merge_symbols(const Merges& merges, std::vector<std::int32_t>& ids, std::vector<std::uint32_t>& ranks);

}  // namespace gavel::text
