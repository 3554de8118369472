#include "json_tokenizer.hpp"

#include <algorithm>
#include <string>

#include "added_tokens.hpp"
#include "byte_alphabet.hpp"
#include "check.hpp"
#include "decoder.hpp"
#include "token_texts.hpp"
#include "tokenizer_json.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

class JsonTokenizer final : public Tokenizer {
 public:
  explicit JsonTokenizer(TokenizerJson file)
      : normalizer_(std::move(file.normalizer)),
        pretokenizer_(std::move(file.pretokenizer)),
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
    bool first = !decoder_.left_out_of_first.empty();  // while the first token is still to come and is another there
    for (const std::int32_t id : ids) {
      const std::string_view piece = bytes(id);
      const AddedToken* token = piece.empty() || first ? added_.find(id) : nullptr;
      const bool is_special = token != nullptr && token->special;
      if (is_special && !special) continue;
      if (is_special || first) {
        joined += token != nullptr ? decoded(*token, first) : decoder_.bytes(model_->vocabulary().token(id), first);
      } else {
        joined += piece;
      }
      first = false;
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
    if (!decoder_.byte_level) return model_->vocabulary().find(token);
    if (const auto spelled = bytes_of_written(token)) return model_->vocabulary().find(*spelled);
    const auto at = unreachable_.find(std::string(token));
    return at != unreachable_.end() ? at->second : -1;
  }

 private:
  // What one call works with.
  struct Run {
    bool special;
    MatchMemory matches;
    WordModel::Scratch scratch;
    std::vector<std::int32_t>& ids;
  };

  void encode_normal(std::string_view piece, bool at_start, Run& run) const {
    added_.cut(piece, true, run.special, [&](std::int32_t id, std::string_view words) {
      if (id >= 0) {
        run.ids.push_back(id);
        return;
      }
      pretokenizer_(words, at_start && words.data() == piece.data(), run.matches,
                    [&](std::string_view word) { model_->encode(word, run.scratch, run.ids); });
    });
  }

  // A token that is found in normalised text comes back as it stood there.
  std::string decoded(const AddedToken& token, bool first = false) const {
    return decoder_.bytes(token.normalized ? normalizer_(token.content) : token.content, first);
  }

  void collect_texts() {
    const Vocabulary& vocabulary = model_->vocabulary();
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
        decoder_.byte_level ? texts_.add(written) : texts_.add(decoder_.bytes(written));
      } else if (const std::string* written = unreachable[static_cast<std::size_t>(id)]) {
        texts_.add(*written);
      } else {
        texts_.add_hole();
      }
    }
  }

  Normalizer normalizer_;
  PreTokenizer pretokenizer_;
  std::unique_ptr<const WordModel> model_;
  Decoder decoder_;
  AddedTokens added_;
  std::unordered_map<std::string, std::int32_t> unreachable_;
  TokenTexts texts_;
};

}  // namespace

std::shared_ptr<const Tokenizer> open_tokenizer_json(std::string_view json, std::string_view name) {
  return std::make_shared<const JsonTokenizer>(read_tokenizer_json(json, name));
}

}  // namespace gavel::text
