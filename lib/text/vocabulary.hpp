#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gavel::text {

/// Tokens and their ids, both ways. The texts lie one behind the other in one block of memory.
class Vocabulary {
 public:
  void reserve(std::size_t tokens, std::size_t bytes);

  /// Adds a token. False where the text or the id is there already. Ids are 0 or above.
  [[nodiscard]] bool add(std::string_view token, std::int32_t id);

  /// The token's id, or -1.
  [[nodiscard]] std::int32_t find(std::string_view token) const noexcept;

  [[nodiscard]] bool has(std::int32_t id) const noexcept {
    return id >= 0 && id < size() && entries_[static_cast<std::size_t>(id)].offset != absent;
  }

  /// The text of an id that `has` knows.
  [[nodiscard]] std::string_view token(std::int32_t id) const noexcept {
    const Entry& entry = entries_[static_cast<std::size_t>(id)];
    return std::string_view(texts_).substr(entry.offset, entry.length);
  }

  /// One more than the largest id.
  [[nodiscard]] std::int32_t size() const noexcept { return static_cast<std::int32_t>(entries_.size()); }

 private:
  static constexpr std::uint32_t absent = 0xFFFFFFFFU;
  struct Entry {
    std::uint32_t offset = absent, length = 0;
  };

  // The hash's upper half beside the id: a look-up seldom reads a text that is not the one sought.
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t id = -1;
  };

  void rehash(std::size_t slots);
  /// The token's slot, or the free one where it would be.
  [[nodiscard]] std::size_t slot_of(std::string_view token, std::size_t hash) const noexcept;

  std::string texts_;
  std::vector<Entry> entries_;  // by id
  std::vector<Slot> slots_;     // open addressing by the text's hash; id -1 is free
  std::size_t count_ = 0;
};

}  // namespace gavel::text
