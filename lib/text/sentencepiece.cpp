#include "sentencepiece.hpp"

#include <sentencepiece_processor.h>

#include <string>

#include "check.hpp"
#include "decoder.hpp"
#include "normalizer.hpp"
#include "token_texts.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

constexpr std::string_view word_mark = "\xE2\x96\x81";  // SentencePiece's sign for a space

// Encoding is the library's own. It never finds control pieces in a text, so `special` changes nothing there; decoding
// is done here, since the pieces' bytes must join the same way token by token.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, std::string_view name) {
    const auto status = processor_.LoadFromSerializedProto({model.data(), model.size()});
    if (!status.ok() || processor_.GetPieceSize() == 0) {
      throw Error(ErrorCode::corrupt_bundle, std::string(name) + " is not a SentencePiece model: " +
                                                 (status.ok() ? "it has no pieces" : status.message()) +
                                                 "; export the bundle again");
    }
    for (int id = 0; id < processor_.GetPieceSize(); ++id) texts_.add(bytes_of(id));
  }

  std::vector<std::int32_t> encode(std::string_view text, bool /*special*/) const override {
    require_utf8(text);
    std::vector<int> ids;
    const auto status = processor_.Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) throw Error(ErrorCode::internal, std::string("SentencePiece: ") + status.message());
    return {ids.begin(), ids.end()};
  }

  std::string decode(const std::vector<std::int32_t>& ids, bool special) const override {
    std::string joined;
    bool first = true;
    for (const std::int32_t id : ids) {
      std::string_view piece = bytes(id);
      if (processor_.IsControl(id)) {
        if (special) joined += processor_.IdToPiece(id);
        continue;
      }
      if (first && strips_first_space_ && piece.starts_with(' ') && !processor_.IsUnknown(id)) piece.remove_prefix(1);
      first = false;
      joined += piece;
    }
    return lossy_utf8(joined);
  }

  std::string_view bytes(std::int32_t id) const override {
    require_id(id, texts_.has(id), size());
    return texts_[id];
  }

  std::int32_t size() const override { return texts_.size(); }

  std::int32_t id(std::string_view token) const override {
    // An unknown piece has the unknown token's id, so ask back.
    const int id = processor_.PieceToId({token.data(), token.size()});
    return id >= 0 && id < size() && processor_.IdToPiece(id) == token ? id : -1;
  }

 private:
  std::string bytes_of(int id) {
    const std::string& piece = processor_.IdToPiece(id);
    if (processor_.IsControl(id)) return {};
    if (processor_.IsUnknown(id)) return processor_.DecodeIds({id});
    if (processor_.IsByte(id)) {
      return std::string(1, static_cast<char>(static_cast<unsigned char>(byte_of_token(piece))));
    }
    // Whether the model puts a space before every text shows in how the library decodes a piece that begins with one.
    if (piece.starts_with(word_mark) && piece.size() > word_mark.size()) {
      strips_first_space_ = !processor_.DecodeIds({id}).starts_with(' ');
    }
    return replace_all(piece, word_mark, " ");
  }

  sentencepiece::SentencePieceProcessor processor_;
  TokenTexts texts_;
  bool strips_first_space_ = false;
};

}  // namespace

std::shared_ptr<const Tokenizer> open_sentencepiece(std::string_view model, std::string_view name) {
  return std::make_shared<const SentencePieceTokenizer>(model, name);
}

}  // namespace gavel::text
