#include "unigram.hpp"

#include <algorithm>

#include "utf8.hpp"

namespace gavel::text {

namespace {

// How much worse than the worst token an unknown character is (SentencePiece's kUnkPenalty).
constexpr double unknown_penalty = 10.0;

}  // namespace

Unigram::Unigram(UnigramParts parts) : parts_(std::move(parts)) {
  const std::int32_t size = parts_.vocabulary.size();
  unknown_score_ = *std::min_element(parts_.scores.begin(), parts_.scores.end()) - unknown_penalty;
  std::vector<bool> forbidden(static_cast<std::size_t>(size), false);
  for (const std::int32_t id : parts_.forbidden) {
    if (id < size) forbidden[static_cast<std::size_t>(id)] = true;
  }
  std::vector<Trie::Entry> entries;
  for (std::int32_t id = 0; id < size; ++id) {
    const std::string_view token = parts_.vocabulary.token(id);
    if (!token.empty() && !forbidden[static_cast<std::size_t>(id)]) entries.emplace_back(token, id);
  }
  trie_ = Trie(std::move(entries));
  if (parts_.byte_fallback) byte_ids_ = byte_token_ids(parts_.vocabulary);
}

void Unigram::find_best(std::string_view word, std::vector<Best>& best) const {
  best.assign(word.size() + 1, Best{});
  for (std::size_t at = 0; at < word.size();) {
    const double before = best[at].score;
    const std::size_t character = read_utf8(word, at).length;
    bool known = false;  // the character by itself
    const auto offer = [&](std::int32_t id, std::size_t length, double score) {
      Best& there = best[at + length];
      if (there.id < 0 || score > there.score) there = {score, at, id};
    };
    trie_.prefixes(word, at, [&](std::int32_t id, std::size_t length) {
      offer(id, length, parts_.scores[static_cast<std::size_t>(id)] + before);
      known = known || length == character;
    });
    if (!known) offer(parts_.unknown, character, unknown_score_ + before);
    at += character;
  }
}

void Unigram::encode(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& out) const {
  find_best(word, scratch.best);
  std::vector<std::size_t>& ends = scratch.ends;  // of the tokens, the last first; unknown neighbours are one
  ends.clear();
  for (std::size_t end = word.size(); end > 0; end = scratch.best[end].begin) {
    const bool joins =
        scratch.best[end].id == parts_.unknown && !ends.empty() && scratch.best[ends.back()].id == parts_.unknown;
    if (!joins) ends.push_back(end);
  }
  std::size_t begin = 0;
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const std::int32_t id = scratch.best[*end].id;
    if (id == parts_.unknown) {
      append_unknown(word.substr(begin, *end - begin), out);
    } else {
      out.push_back(id);
    }
    begin = *end;
  }
}

void Unigram::append_unknown(std::string_view text, std::vector<std::int32_t>& out) const {
  // Unknown neighbours may spell a token together, one that is less likely than they are.
  std::int32_t whole = -1;
  trie_.prefixes(text, 0, [&](std::int32_t id, std::size_t length) {
    if (length == text.size()) whole = id;
  });
  if (whole >= 0) return out.push_back(whole);
  const auto id_of = [this](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (parts_.byte_fallback && std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (const char byte : text) out.push_back(id_of(byte));
  } else {
    out.push_back(parts_.unknown);
  }
}

}  // namespace gavel::text
