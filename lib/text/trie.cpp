#include "trie.hpp"

#include <algorithm>

namespace gavel::text {

Trie::Trie(std::vector<Entry> entries) {
  roots_.fill(none);
  std::sort(entries.begin(), entries.end());  // by bytes, so that a node's texts are neighbours
  // The texts [begin, end) that share their first `depth` bytes, and the node these bytes lead to.
  struct Range {
    std::size_t begin, end, depth;
    std::uint32_t node;
  };
  std::vector<Range> open;
  const auto split = [&](std::size_t begin, std::size_t end, std::size_t depth) {
    while (begin < end) {
      const char byte = entries[begin].first[depth];
      std::size_t stop = begin + 1;
      while (stop < end && entries[stop].first[depth] == byte) ++stop;
      open.push_back({begin, stop, depth + 1, static_cast<std::uint32_t>(nodes_.size())});
      nodes_.push_back({0, -1, 0, static_cast<unsigned char>(byte)});
      begin = stop;
    }
  };
  split(0, entries.size(), 0);
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) roots_[nodes_[i].byte] = i;
  for (std::size_t next = 0; next < open.size(); ++next) {  // level by level: `open` grows on the way
    Range range = open[next];
    if (entries[range.begin].first.size() == range.depth) nodes_[range.node].value = entries[range.begin++].second;
    const std::size_t first = nodes_.size();
    split(range.begin, range.end, range.depth);
    nodes_[range.node].first_child = static_cast<std::uint32_t>(first);
    nodes_[range.node].children = static_cast<std::uint16_t>(nodes_.size() - first);
  }
}

std::uint32_t Trie::child(const Node& node, char byte) const {
  const auto begin = nodes_.begin() + node.first_child;
  const auto end = begin + node.children;
  const auto wanted = static_cast<unsigned char>(byte);
  const auto found = std::lower_bound(begin, end, wanted, [](const Node& a, unsigned char b) { return a.byte < b; });
  return found != end && found->byte == wanted ? static_cast<std::uint32_t>(found - nodes_.begin()) : none;
}

}  // namespace gavel::text
