#include "vocabulary.hpp"

#include <bit>
#include <functional>

namespace gavel::text {

namespace {

std::size_t hash_of(std::string_view token) {
  return std::hash<std::string_view>{}(token);
}
std::uint32_t tag_of(std::size_t hash) {
  return static_cast<std::uint32_t>(std::uint64_t{hash} >> 32U);
}

}  // namespace

void Vocabulary::reserve(std::size_t tokens, std::size_t bytes) {
  texts_.reserve(bytes);
  entries_.reserve(tokens);
  rehash(std::bit_ceil(tokens * 2));
}

void Vocabulary::rehash(std::size_t slots) {
  std::vector<Slot> fresh(slots);
  for (const Slot& taken : slots_) {
    if (taken.id < 0) continue;
    std::size_t slot = hash_of(token(taken.id)) & (slots - 1);
    while (fresh[slot].id >= 0) slot = (slot + 1) & (slots - 1);
    fresh[slot] = taken;
  }
  slots_ = std::move(fresh);
}

std::size_t Vocabulary::slot_of(std::string_view token, std::size_t hash) const noexcept {
  std::size_t slot = hash & (slots_.size() - 1);
  for (; slots_[slot].id >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].tag == tag_of(hash) && this->token(slots_[slot].id) == token) break;
  }
  return slot;
}

bool Vocabulary::add(std::string_view token, std::int32_t id) {
  if (has(id)) return false;
  if ((count_ + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
  const std::size_t hash = hash_of(token);
  Slot& slot = slots_[slot_of(token, hash)];
  if (slot.id >= 0) return false;
  slot = {tag_of(hash), id};
  if (id >= size()) entries_.resize(static_cast<std::size_t>(id) + 1);
  entries_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(texts_.size()),
                                            static_cast<std::uint32_t>(token.size())};
  texts_ += token;
  ++count_;
  return true;
}

std::int32_t Vocabulary::find(std::string_view token) const noexcept {
  if (slots_.empty()) return -1;
  return slots_[slot_of(token, hash_of(token))].id;
}

}  // namespace gavel::text
