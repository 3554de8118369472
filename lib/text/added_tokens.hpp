#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "normalizer.hpp"

namespace gavel::text {

/// A token beside the model's own vocabulary, found in the text as it is written.
struct AddedToken {
  std::int32_t id = -1;
  std::string content;
  bool special = false;      ///< left out of decoded text, and found only where the caller asks for it
  bool single_word = false;  ///< not found within a word
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< found in normalised text
};

/// The added tokens, and where they occur in a text.
class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  /// A token with its id, or a run of text with id -1.
  using Emit = std::function<void(std::int32_t id, std::string_view text)>;

  /// Cuts text at the tokens that are found before (`normalized` false) or after normalisation. The longest of
  /// several at the same place is found; special ones are passed over unless `special`.
  void cut(std::string_view text, bool normalized, bool special, const Emit& emit) const;

  /// By id or by content; null where there is none.
  [[nodiscard]] const AddedToken* find(std::int32_t id) const;
  [[nodiscard]] const AddedToken* find(std::string_view content) const;

  /// Ordered by id.
  [[nodiscard]] const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  // A tree of the tokens' bytes. Node 0 is the root; a child's index is 0 where there is none.
  class Tree {
   public:
    void add(std::string_view text, std::size_t token);
    struct Found {
      std::size_t token = 0, length = 0;
    };
    /// The longest token that begins at `at`; length 0 where there is none.
    [[nodiscard]] Found longest(std::string_view text, std::size_t at) const;

   private:
    struct Node {
      std::map<char, std::size_t> children;
      std::size_t token = 0;
      bool ends = false;
    };
    std::vector<Node> nodes_{1};
    bool first_[256] = {};
  };

  std::vector<AddedToken> tokens_;
  Tree raw_, normal_;
};

}  // namespace gavel::text
