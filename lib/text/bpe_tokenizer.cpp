#include "bpe_tokenizer.hpp"

#include <algorithm>
#include <string>

#include "added_tokens.hpp"
#include "bpe.hpp"
#include "bpe_json.hpp"
#include "byte_alphabet.hpp"
#include "check.hpp"
#include "decoder.hpp"
#include "token_texts.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeFile file)
      : normalizer_(std::move(file.normalizer)),
        pretokenizer_(std::move(file.pretokenizer)),
        byte_level_(file.model.byte_level),
        model_(std::move(file.model)),
        decoder_(std::move(file.decoder)),
        added_(std::move(file.added), normalizer_),
        unreachable_(std::move(file.unreachable)) {
    collect_texts();
  }

  std::vector<std::int32_t> encode(std::string_view text, bool special) const override {
    require_utf8(text);
    std::vector<std::int32_t> ids;
    Run run{special, {}, {}, ids};
    added_.cut(text, false, special, [&](std::int32_t id, std::string_view piece) {
      if (id >= 0) {
        ids.push_back(id);
      } else if (normalizer_.empty()) {
        encode_normal(piece, piece.data() == text.data(), run);
      } else {
        encode_normal(normalizer_(piece), piece.data() == text.data(), run);
      }
    });
    return ids;
  }

  std::string decode(const std::vector<std::int32_t>& ids, bool special) const override {
    std::string joined;
    for (const std::int32_t id : ids) {
      const std::string_view piece = bytes(id);
      joined += piece;
      if (!special || !piece.empty()) continue;
      const AddedToken* token = added_.find(id);
      if (token != nullptr && token->special) joined += decoded(*token);
    }
    return std::string(decoder_.stripped(lossy_utf8(joined)));
  }

  std::string_view bytes(std::int32_t id) const override {
    require_id(id, texts_.has(id), size());
    return texts_[id];
  }

  std::int32_t size() const override { return texts_.size(); }

  std::int32_t id(std::string_view token) const override {
    if (const AddedToken* added = added_.find(token)) return added->id;
    if (!byte_level_) return model_.vocabulary().find(token);
    if (const auto spelled = bytes_of_written(token)) return model_.vocabulary().find(*spelled);
    const auto at = unreachable_.find(std::string(token));
    return at != unreachable_.end() ? at->second : -1;
  }

 private:
  // What one call works with.
  struct Run {
    bool special;
    MatchMemory matches;
    Bpe::Scratch scratch;
    std::vector<std::int32_t>& ids;
  };

  void encode_normal(std::string_view piece, bool at_start, Run& run) const {
    added_.cut(piece, true, run.special, [&](std::int32_t id, std::string_view words) {
      if (id >= 0) {
        run.ids.push_back(id);
        return;
      }
      pretokenizer_(words, at_start && words.data() == piece.data(), run.matches,
                    [&](std::string_view word) { model_.encode(word, run.scratch, run.ids); });
    });
  }

  // A token that is found in normalised text comes back as it stood there.
  std::string decoded(const AddedToken& token) const {
    return decoder_.bytes(token.normalized ? normalizer_(token.content) : token.content);
  }

  void collect_texts() {
    const Vocabulary& vocabulary = model_.vocabulary();
    std::int32_t size = vocabulary.size();
    for (const auto& [written, id] : unreachable_) size = std::max(size, id + 1);
    for (const AddedToken& token : added_.all()) size = std::max(size, token.id + 1);
    std::vector<const std::string*> unreachable(static_cast<std::size_t>(size), nullptr);
    for (const auto& [written, id] : unreachable_) unreachable[static_cast<std::size_t>(id)] = &written;
    for (std::int32_t id = 0; id < size; ++id) {
      if (const AddedToken* token = added_.find(id)) {
        texts_.add(token->special ? std::string() : decoded(*token));
      } else if (vocabulary.has(id)) {
        const std::string_view written = vocabulary.token(id);
        byte_level_ ? texts_.add(written) : texts_.add(decoder_.bytes(written));
      } else if (const std::string* written = unreachable[static_cast<std::size_t>(id)]) {
        texts_.add(*written);
      } else {
        texts_.add_hole();
      }
    }
  }

  Normalizer normalizer_;
  PreTokenizer pretokenizer_;
  bool byte_level_;
  Bpe model_;
  Decoder decoder_;
  AddedTokens added_;
  std::unordered_map<std::string, std::int32_t> unreachable_;
  TokenTexts texts_;
};

}  // namespace

std::shared_ptr<const Tokenizer> open_bpe(std::string_view json, std::string_view name) {
  return std::make_shared<const BpeTokenizer>(read_bpe_json(json, name));
}

}  // namespace gavel::text
