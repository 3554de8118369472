#include "added_tokens.hpp"

#include <algorithm>

#include "unicode.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

bool ends_in_word(std::string_view text) {
  return !text.empty() && is_word(read_utf8(text, previous_character(text, text.size())).code);
}

bool begins_with_word(std::string_view text) {
  return !text.empty() && is_word(read_utf8(text, 0).code);
}

}  // namespace

void AddedTokens::Tree::add(std::string_view text, std::size_t token) {
  std::size_t node = 0;
  for (const char byte : text) {
    std::size_t& child = nodes_[node].children[byte];
    const std::size_t next = child != 0 ? child : nodes_.size();
    child = next;
    if (next == nodes_.size()) nodes_.emplace_back();
    node = next;
  }
  if (nodes_[node].ends) return;  // two tokens that normalise to the same text: the first is found
  nodes_[node].token = token;
  nodes_[node].ends = true;
  first_[static_cast<unsigned char>(text.front())] = true;
}

AddedTokens::Tree::Found AddedTokens::Tree::longest(std::string_view text, std::size_t at) const {
  Found found;
  if (!first_[static_cast<unsigned char>(text[at])]) return found;
  std::size_t node = 0;
  for (std::size_t end = at; end < text.size();) {
    const auto child = nodes_[node].children.find(text[end]);
    if (child == nodes_[node].children.end()) break;
    node = child->second;
    ++end;
    if (nodes_[node].ends) found = {nodes_[node].token, end - at};
  }
  return found;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  // Special tokens first, as the reference orders them.
  for (const bool special : {true, false}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.special != special) continue;
      const std::string text = token.normalized ? normalizer(token.content) : token.content;
      if (!text.empty()) (token.normalized ? normal_ : raw_).add(text, i);
    }
  }
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto at = std::lower_bound(tokens_.begin(), tokens_.end(), id,
                                   [](const AddedToken& token, std::int32_t value) { return token.id < value; });
  return at != tokens_.end() && at->id == id ? &*at : nullptr;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto at =
      std::find_if(tokens_.begin(), tokens_.end(), [&](const AddedToken& token) { return token.content == content; });
  return at != tokens_.end() ? &*at : nullptr;
}

void AddedTokens::cut(std::string_view text, bool normalized, bool special, const Emit& emit) const {
  const Tree& tree = normalized ? normal_ : raw_;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Tree::Found found = tree.longest(text, at);
    if (found.length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found.token];
    std::size_t begin = at;
    std::size_t end = at + found.length;
    at = end;
    if (token.special && !special) continue;
    if (token.single_word && (ends_in_word(text.substr(0, begin)) || begins_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(white_space_before(text, begin), done);
    if (token.rstrip) end = white_space_after(text, end);
    if (done < begin) emit(-1, text.substr(done, begin - done));
    emit(token.id, text.substr(begin, end - begin));
    done = end;
  }
  if (done < text.size()) emit(-1, text.substr(done));
}

}  // namespace gavel::text
