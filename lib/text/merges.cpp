#include <algorithm>
#include <bit>
#include <limits>
#include <queue>

#include "bpe.hpp"

namespace gavel::text {

namespace {

constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32U) | static_cast<std::uint32_t>(right);
}

// Looking through all ranks for the lowest is the fastest way for a word of ordinary length.
void merge_short(const Merges& merges, std::vector<std::int32_t>& ids, std::vector<std::uint32_t>& ranks) {
  const auto rank_at = [&](std::size_t i) {
    const Merges::Merge* merge = i + 1 < ids.size() ? merges.find(ids[i], ids[i + 1]) : nullptr;
    return merge != nullptr ? merge->rank : no_rank;
  };
  ranks.clear();
  for (std::size_t i = 0; i < ids.size(); ++i) ranks.push_back(rank_at(i));
  for (;;) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());
    if (lowest == ranks.end() || *lowest == no_rank) return;
    const auto at = static_cast<std::size_t>(lowest - ranks.begin());
    ids[at] = merges.find(ids[at], ids[at + 1])->id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    ranks.erase(ranks.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    ranks[at] = rank_at(at);
    if (at > 0) ranks[at - 1] = rank_at(at - 1);
  }
}

// A queue of possible merges over a linked list: O(n log n) for words of any length.
void merge_long(const Merges& merges, std::vector<std::int32_t>& ids) {
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  struct Link {
    std::size_t previous, next;
  };
  struct Step {
    std::uint32_t rank;
    std::size_t at;
    std::int32_t left, right, id;
    bool operator<(const Step& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  std::vector<Link> links(ids.size());
  std::priority_queue<Step> queue;
  const auto consider = [&](std::size_t at) {
    const std::size_t next = links[at].next;
    if (next == none) return;
    if (const Merges::Merge* merge = merges.find(ids[at], ids[next])) {
      queue.push({merge->rank, at, ids[at], ids[next], merge->id});
    }
  };
  for (std::size_t i = 0; i < ids.size(); ++i) links[i] = {i == 0 ? none : i - 1, i + 1 < ids.size() ? i + 1 : none};
  for (std::size_t i = 0; i < ids.size(); ++i) consider(i);
  constexpr std::int32_t gone = -1;
  while (!queue.empty()) {
    const Step step = queue.top();
    queue.pop();
    const std::size_t next = links[step.at].next;
    if (ids[step.at] != step.left || next == none || ids[next] != step.right) continue;  // overtaken by another merge
    ids[step.at] = step.id;
    ids[next] = gone;
    links[step.at].next = links[next].next;
    if (links[next].next != none) links[links[next].next].previous = step.at;
    consider(step.at);
    if (links[step.at].previous != none) consider(links[step.at].previous);
  }
  std::erase(ids, gone);
}

}  // namespace

void Merges::reserve(std::size_t count) {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(std::bit_ceil(std::max<std::size_t>(count, 32) * 2), Slot{});
  for (const Slot& slot : old) {
    if (slot.merge.id >= 0) slots_[slot_of(slot.pair)] = slot;
  }
}

std::size_t Merges::slot_of(std::uint64_t pair) const noexcept {
  constexpr std::uint64_t golden = 0x9E3779B97F4A7C15ULL;
  const auto bits = static_cast<unsigned>(std::countr_zero(slots_.size()));
  std::size_t slot = (pair * golden) >> (64U - bits);
  while (slots_[slot].merge.id >= 0 && slots_[slot].pair != pair) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void Merges::add(std::int32_t left, std::int32_t right, Merge merge) {
  if ((count_ + 1) * 2 > slots_.size()) reserve(slots_.size());
  Slot& slot = slots_[slot_of(pair_of(left, right))];
  if (slot.merge.id < 0) ++count_;
  slot = {pair_of(left, right), merge};
}

bool Merges::gives(const std::vector<bool>& ids) const {
  return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.merge.id >= 0 && ids[static_cast<std::size_t>(slot.merge.id)];
  });
}

void Merges::forbid(const std::vector<bool>& ids) {
  for (Slot& slot : slots_) {
    // The slot stays taken, or pairs that lie behind it would be lost.
    if (slot.merge.id >= 0 && ids[static_cast<std::size_t>(slot.merge.id)]) slot.merge.rank = no_rank;
  }
}

const Merges::Merge* Merges::find(std::int32_t left, std::int32_t right) const noexcept {
  if (slots_.empty()) return nullptr;
  const Slot& slot = slots_[slot_of(pair_of(left, right))];
  return slot.merge.id >= 0 && slot.merge.rank != no_rank ? &slot.merge : nullptr;
}

void merge_symbols(const Merges& merges, std::vector<std::int32_t>& ids, std::vector<std::uint32_t>& ranks) {
  constexpr std::size_t longest_short = 64;
  if (ids.size() <= longest_short) {
    merge_short(merges, ids, ranks);
  } else {
    merge_long(merges, ids);
  }
}

}  // namespace gavel::text
