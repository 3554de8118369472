#include "bpe.hpp"

#include <algorithm>

#include "utf8.hpp"

namespace gavel::text {

Bpe::Bpe(BpeParts parts) : parts_(std::move(parts)) {
  const auto size = static_cast<std::size_t>(parts_.vocabulary.size());
  forbidden_.assign(size, false);
  for (const std::int32_t id : parts_.forbidden) {
    if (id >= 0 && static_cast<std::size_t>(id) < size) forbidden_[static_cast<std::size_t>(id)] = true;
  }
  if (parts_.merges.gives(forbidden_)) {
    safe_merges_ = parts_.merges;
    safe_merges_->forbid(forbidden_);
  }
  whole_ = std::make_unique<std::atomic<std::uint8_t>[]>(size);
  if (parts_.byte_level) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto written = static_cast<char>(static_cast<unsigned char>(byte));
      byte_ids_.push_back(parts_.vocabulary.find(std::string_view(&written, 1)));
    }
  } else if (parts_.byte_fallback) {
    byte_ids_ = byte_token_ids(parts_.vocabulary);
  }
  for (std::int32_t& id : byte_ids_) id = allowed(id);
}

std::int32_t Bpe::allowed(std::int32_t id) const {
  return id >= 0 && !forbidden_[static_cast<std::size_t>(id)] ? id : -1;
}

void Bpe::encode(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& out) const {
  const std::int32_t id = allowed(parts_.vocabulary.find(word));
  if (id >= 0) {
    const std::uint8_t known = whole_[static_cast<std::size_t>(id)].load(std::memory_order_relaxed);
    if (parts_.ignore_merges || known == Whole::whole) {
      out.push_back(id);
      return;
    }
  }
  scratch.ids.clear();
  symbols(word, scratch.ids);
  merge_symbols(parts_.merges, scratch.ids, scratch.ranks);
  const auto is_forbidden = [this](std::int32_t merged) {
    return merged != parts_.unknown && forbidden_[static_cast<std::size_t>(merged)];
  };
  if (safe_merges_ && std::any_of(scratch.ids.begin(), scratch.ids.end(), is_forbidden)) {
    scratch.ids.clear();
    symbols(word, scratch.ids);
    merge_symbols(*safe_merges_, scratch.ids, scratch.ranks);
  }
  if (id >= 0) {
    const bool is_whole = scratch.ids.size() == 1 && scratch.ids.front() == id;
    whole_[static_cast<std::size_t>(id)].store(is_whole ? Whole::whole : Whole::parts, std::memory_order_relaxed);
  }
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
}

void Bpe::symbols(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (!parts_.byte_level) return symbols_by_character(word, ids);
  for (const char c : word) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      ids.push_back(id);
    } else if (parts_.unknown >= 0 && (!parts_.fuse_unknown || ids.empty() || ids.back() != parts_.unknown)) {
      ids.push_back(parts_.unknown);
    }
  }
}

void Bpe::symbols_by_character(std::string_view word, std::vector<std::int32_t>& ids) const {
  bool unknown = false;  // an unknown token that waits for its next character
  for (std::size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, read_utf8(word, at).length);
    at += character.size();
    if (const std::int32_t id = allowed(parts_.vocabulary.find(character)); id >= 0) {
      if (unknown) ids.push_back(parts_.unknown);
      unknown = false;
      ids.push_back(id);
      continue;
    }
    bool bytes_known = parts_.byte_fallback;
    for (const char c : character) bytes_known = bytes_known && byte_ids_[static_cast<unsigned char>(c)] >= 0;
    if (bytes_known) {
      for (const char c : character) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    } else if (parts_.unknown >= 0) {
      if (unknown && !parts_.fuse_unknown) ids.push_back(parts_.unknown);
      unknown = true;
    }
  }
  if (unknown) ids.push_back(parts_.unknown);
}

}  // namespace gavel::text
