#include "vocabulary.hpp"

#include <bit>
#include <functional>

namespace gavel::text {

namespace {
std::size_t hash_of(std::string_view token) {
  return std::hash<std::string_view>{}(token);
}
}  // namespace

void Vocabulary::reserve(std::size_t tokens, std::size_t bytes) {
  texts_.reserve(bytes);
  entries_.reserve(tokens);
  rehash(std::bit_ceil(tokens * 2));
}

void Vocabulary::rehash(std::size_t slots) {
  std::vector<std::int32_t> fresh(slots, -1);
  for (const std::int32_t id : slots_) {
    if (id < 0) continue;
    std::size_t slot = hash_of(token(id)) & (slots - 1);
    while (fresh[slot] >= 0) slot = (slot + 1) & (slots - 1);
    fresh[slot] = id;
  }
  slots_ = std::move(fresh);
}

bool Vocabulary::add(std::string_view token, std::int32_t id) {
  if (has(id)) return false;
  if ((count_ + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
  std::size_t slot = hash_of(token) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (this->token(slots_[slot]) == token) return false;
  }
  slots_[slot] = id;
  if (id >= size()) entries_.resize(static_cast<std::size_t>(id) + 1);
  entries_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(texts_.size()),
                                            static_cast<std::uint32_t>(token.size())};
  texts_ += token;
  ++count_;
  return true;
}

std::int32_t Vocabulary::find(std::string_view token) const noexcept {
  if (slots_.empty()) return -1;
  std::size_t slot = hash_of(token) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (this->token(slots_[slot]) == token) return slots_[slot];
  }
  return -1;
}

}  // namespace gavel::text
