#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gavel/prompt.hpp"

namespace gavel {

/// Text to token ids and back: BPE or Unigram from a tokenizer.json, or a SentencePiece model.
/// Immutable once opened; every method may be called from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Opens `tokenizer.json` or `tokenizer.model`, chosen by the file's name. Throws not_found, corrupt_bundle, or
  /// unsupported naming the part (normaliser, pre-tokenizer, model) that this build does not know.
  [[nodiscard]] static std::shared_ptr<const Tokenizer> open(const std::filesystem::path& file);

  /// The same from bytes already read (and hashed); `name` chooses the format and appears in messages.
  [[nodiscard]] static std::shared_ptr<const Tokenizer> from_bytes(std::string_view bytes, std::string_view name);

  /// Encodes plain text. With `special` false (what Gavel uses for every task) no text can become a special token;
  /// with true, added special tokens are recognised in the text as the reference library does. No BOS or EOS is added.
  /// Throws invalid_argument for text that is not UTF-8, with the offset of the first bad byte.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text, bool special = false) const = 0;

  /// Decodes ids to bytes. Special tokens are left out unless `special`. Bytes that are no UTF-8 come out as U+FFFD.
  /// Throws invalid_argument for an id outside the vocabulary.
  [[nodiscard]] virtual std::string decode(const std::vector<std::int32_t>& ids, bool special = false) const = 0;

  /// The raw bytes one token stands for (empty for special tokens): what a stream decoder joins.
  [[nodiscard]] virtual std::string_view bytes(std::int32_t id) const = 0;

  /// Number of ids, added tokens included.
  [[nodiscard]] virtual std::int32_t size() const = 0;

  /// The id of a token by its exact written form, or -1.
  [[nodiscard]] virtual std::int32_t id(std::string_view token) const = 0;
};

/// Encodes a filled prompt: texts through the tokenizer, special tokens as they are.
[[nodiscard]] std::vector<std::int32_t> encode(const Tokenizer& tokenizer, const std::vector<PromptPiece>& pieces);

/// Decodes a stream token by token and never splits a UTF-8 character: bytes of an unfinished character wait for the
/// next token. Not thread-safe; one per stream.
class StreamDecoder {
 public:
  /// `continues`: the stream goes on where other text ended, so that a space it begins with is its own.
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool continues = false)
      : tokenizer_(std::move(tokenizer)), continues_(continues) {}

  /// The text that became complete with this token; may be empty.
  [[nodiscard]] std::string push(std::int32_t id);

  /// What is still held back, with an unfinished character as U+FFFD.
  [[nodiscard]] std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool continues_;
  std::string pending_;
  bool first_ = true;  // SentencePiece: the first token's leading space may be the dummy prefix
};

}  // namespace gavel
