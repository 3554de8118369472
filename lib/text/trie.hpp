#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace gavel::text {

/// A tree of texts' bytes, which finds all of them that begin at a place in one walk. Immutable.
class Trie {
 public:
  /// A text (not empty, none twice) and its value (0 or above).
  using Entry = std::pair<std::string_view, std::int32_t>;

  Trie() = default;
  explicit Trie(std::vector<Entry> entries);

  /// Calls `each(value, length)` for every text that `text` has at `at`, the shortest first.
  template <class Each>
  void prefixes(std::string_view text, std::size_t at, Each&& each) const {
    if (at == text.size()) return;
    std::uint32_t node = roots_[static_cast<unsigned char>(text[at])];
    for (std::size_t end = at + 1; node != none; node = child(nodes_[node], text[end++])) {
      if (nodes_[node].value >= 0) each(nodes_[node].value, end - at);
      if (end == text.size()) return;
    }
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFFU;

  // A node's children lie side by side, ordered by their byte.
  struct Node {
    std::uint32_t first_child = 0;
    std::int32_t value = -1;
    std::uint16_t children = 0;
    unsigned char byte = 0;
  };

  [[nodiscard]] std::uint32_t child(const Node& node, char byte) const;

  std::vector<Node> nodes_;
  std::array<std::uint32_t, 256> roots_{};
};

}  // namespace gavel::text
