#include "gavel/tokenizer.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "check.hpp"
#include "json_tokenizer.hpp"
#include "sentencepiece.hpp"

namespace gavel {

namespace {

std::string read_file(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    throw Error(ErrorCode::not_found, "no tokenizer file at " + file.string() + "; check the path");
  }
  std::ifstream in(file, std::ios::binary);
  std::string bytes;
  if (in) {
    bytes.resize(static_cast<std::size_t>(std::filesystem::file_size(file)));
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  if (!in) throw Error(ErrorCode::io, "cannot read " + file.string() + ": " + std::strerror(errno));
  return bytes;
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::open(const std::filesystem::path& file) {
  return from_bytes(read_file(file), file.string());
}

std::shared_ptr<const Tokenizer> Tokenizer::from_bytes(std::string_view bytes, std::string_view name) {
  if (name.ends_with(".json")) return text::open_tokenizer_json(bytes, name);
  if (name.ends_with(".model")) return text::open_sentencepiece(bytes, name);
  throw Error(ErrorCode::unsupported, "tokenizer file " + std::string(name) +
                                          ": only tokenizer.json and SentencePiece's tokenizer.model are known");
}

std::vector<std::int32_t> encode(const Tokenizer& tokenizer, const std::vector<PromptPiece>& pieces) {
  std::vector<std::int32_t> ids;
  for (const PromptPiece& piece : pieces) {
    if (piece.token >= 0) {
      (void)tokenizer.bytes(piece.token);  // throws for an id the vocabulary does not have
      ids.push_back(piece.token);
      continue;
    }
    const std::vector<std::int32_t> text = tokenizer.encode(piece.text);
    ids.insert(ids.end(), text.begin(), text.end());
  }
  return ids;
}

}  // namespace gavel
