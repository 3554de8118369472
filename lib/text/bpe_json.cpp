#include "bpe_json.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "bpe_json_parts.hpp"
#include "byte_alphabet.hpp"
#include "gavel/error.hpp"
#include "json_reader.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

constexpr std::int64_t largest_id = 1 << 24;

[[noreturn]] void corrupt(std::string_view name, const std::string& what) {
  throw Error(ErrorCode::corrupt_bundle, std::string(name) + ": " + what + "; export the bundle again");
}

// The model's part of the file. It comes after the pre-tokenizer, which says how tokens are written.
class ModelReader {
 public:
  ModelReader(BpeFile& file, std::string_view name) : file_(file), model_(file.model), name_(name) {}

  void read(JsonReader& reader) {
    std::optional<std::string_view> merges;  // where they come before the vocabulary they name
    reader.object([&](std::string_view key) {
      if (key == "vocab") {
        read_vocabulary(reader);
      } else if (key == "merges" && model_.vocabulary.size() > 0) {
        read_merges(reader);
      } else if (key == "merges") {
        merges = reader.raw();
      } else {
        read_option(key, Json::parse(reader.raw()));
      }
    });
    if (model_.vocabulary.size() == 0) corrupt(name_, "the vocabulary is missing or empty");
    if (merges) {
      JsonReader inner = reader.within(*merges);
      read_merges(inner);
    }
    if (unknown_) {
      model_.unknown = model_.vocabulary.find(*unknown_);
      if (model_.unknown < 0) corrupt(name_, "the unknown token \"" + *unknown_ + "\" is not in the vocabulary");
    }
  }

 private:
  void read_vocabulary(JsonReader& reader) {
    constexpr std::size_t usual_tokens = std::size_t{1} << 18, usual_bytes = std::size_t{1} << 21;
    model_.vocabulary.reserve(usual_tokens, usual_bytes);
    reader.object([&](std::string_view written) {
      const std::int64_t id = reader.integer();
      if (id < 0 || id >= largest_id) reader.fail("a token's id out of range");
      if (!add(written, static_cast<std::int32_t>(id))) reader.fail("a token or an id that is there twice");
    });
  }

  bool add(std::string_view written, std::int32_t id) {
    if (!model_.byte_level) return model_.vocabulary.add(written, id);
    if (!spell(written)) return file_.unreachable.emplace(written, id).second;
    return model_.vocabulary.add(spelled_, id);
  }

  // The token's bytes into spelled_. False where it is not written in the byte alphabet.
  bool spell(std::string_view written) {
    const auto bytes = bytes_of_written(written);
    if (bytes) spelled_ = *bytes;
    return bytes.has_value();
  }

  void read_merges(JsonReader& reader) {
    model_.merges.reserve(static_cast<std::size_t>(model_.vocabulary.size()));
    std::uint32_t rank = 0;
    std::string left, right;
    reader.array([&] {
      if (reader.peek() == '[') {
        int parts = 0;
        reader.array([&] { (parts++ == 0 ? left : right) = reader.string(); });
        if (parts != 2) reader.fail("a merge of other than two tokens");
      } else {
        const std::string_view both = reader.string();
        const std::size_t space = both.find(' ');
        if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) {
          reader.fail("a merge of other than two tokens");
        }
        left = both.substr(0, space);
        right = both.substr(space + 1);
      }
      add_merge(left, right, rank++, reader);
    });
  }

  void add_merge(std::string_view left, std::string_view right, std::uint32_t rank, const JsonReader& reader) {
    std::string joined;
    const auto id_of = [&](std::string_view written) {
      if (!model_.byte_level) {
        joined += written;
        return model_.vocabulary.find(written);
      }
      if (!spell(written)) return -1;
      joined += spelled_;
      return model_.vocabulary.find(spelled_);
    };
    const std::int32_t first = id_of(left);
    const std::int32_t second = id_of(right);
    std::int32_t result = -1;
    if (first >= 0 && second >= 0) {
      // Vocabularies list the tokens in the order of their merges, so the next id is a good guess.
      const std::int32_t guess = last_result_ + 1;
      const bool guessed = model_.vocabulary.has(guess) && model_.vocabulary.token(guess) == joined;
      result = guessed ? guess : model_.vocabulary.find(joined);
    }
    if (result < 0) {
      reader.fail("the merge of \"" + std::string(left) + "\" and \"" + std::string(right) +
                  "\", which names a token that is not in the vocabulary,");
    }
    last_result_ = result;
    model_.merges.add(first, second, {rank, result});
  }

  void read_option(std::string_view key, const Json& value) {
    const auto nothing = [&] { return value.is_null() || (value.is_string() && value.get<std::string>().empty()); };
    if (key == "type") {
      if (value != "BPE") refuse_part(name_, "model", value.get<std::string>());
    } else if (key == "dropout") {
      if (!value.is_null() && value != 0.0) refuse_part(name_, "model option", "dropout");
    } else if (key == "unk_token") {
      if (!value.is_null()) unknown_ = value.get<std::string>();
    } else if (key == "continuing_subword_prefix" || key == "end_of_word_suffix") {
      if (!nothing()) refuse_part(name_, "model option", key);
    } else if (key == "fuse_unk") {
      model_.fuse_unknown = value.get<bool>();
    } else if (key == "byte_fallback") {
      model_.byte_fallback = value.get<bool>();
      if (model_.byte_fallback && model_.byte_level) refuse_part(name_, "model option", "byte_fallback with ByteLevel");
    } else if (key == "ignore_merges") {
      model_.ignore_merges = value.get<bool>();
    } else {
      refuse_part(name_, "model option", key);
    }
  }

  BpeFile& file_;
  BpeParts& model_;
  std::string_view name_;
  std::string spelled_;
  std::int32_t last_result_ = -1;
  std::optional<std::string> unknown_;
};

// The parts around the model. Padding, truncation and post-processing belong to calls that Gavel does not make.
class FileReader {
 public:
  explicit FileReader(std::string_view name) : name_(name) {}

  BpeFile read(std::string_view json) {
    JsonReader reader(json, name_);
    std::optional<std::string_view> model;  // where it comes before the pre-tokenizer
    bool read_model = false, seen_pretokenizer = false;
    reader.object([&](std::string_view key) {
      if (key == "model" && seen_pretokenizer) {
        ModelReader(file_, name_).read(reader);
        read_model = true;
      } else if (key == "model") {
        model = reader.raw();
      } else if (key == "pre_tokenizer") {
        PreTokenizerPart part = read_pretokenizer(Json::parse(reader.raw()), name_);
        file_.pretokenizer = std::move(part.pretokenizer);
        file_.model.byte_level = part.byte_level;
        seen_pretokenizer = true;
      } else {
        read_part(key, reader);
      }
    });
    reader.end();
    if (model) {
      JsonReader inner = reader.within(*model);
      ModelReader(file_, name_).read(inner);
    } else if (!read_model) {
      corrupt(name_, "the model is missing");
    }
    finish();
    return std::move(file_);
  }

 private:
  void read_part(std::string_view key, JsonReader& reader) {
    const std::string_view raw = reader.raw();
    if (key == "normalizer") {
      file_.normalizer = read_normalizer(Json::parse(raw), name_);
    } else if (key == "decoder") {
      file_.decoder = read_decoder(Json::parse(raw), name_);
      seen_decoder_ = true;
    } else if (key == "added_tokens") {
      file_.added = read_added_tokens(Json::parse(raw), name_);
    } else if (key == "version") {
      if (Json::parse(raw) != "1.0") refuse_part(name_, "format version", raw);
    } else if (key != "truncation" && key != "padding" && key != "post_processor") {
      refuse_part(name_, "part", key);
    }
  }

  void finish() {
    if (!seen_decoder_) (void)read_decoder(nullptr, name_);
    if (file_.decoder.byte_level != file_.model.byte_level) {
      refuse_part(name_, "decoder", "that does not undo the pre_tokenizer (ByteLevel in one of them only)");
    }
    for (const AddedToken& token : file_.added) {
      if (token.special) file_.model.forbidden.push_back(token.id);
    }
  }

  std::string_view name_;
  BpeFile file_;
  bool seen_decoder_ = false;
};

}  // namespace

BpeFile read_bpe_json(std::string_view json, std::string_view name) {
  if (const std::size_t bad = find_invalid_utf8(json); bad != std::string_view::npos) {
    corrupt(name, "not UTF-8 at byte " + std::to_string(bad));
  }
  try {
    return FileReader(name).read(json);
  } catch (const Json::exception& error) {
    corrupt(name, std::string("a part is not as it should be (") + error.what() + ")");
  }
}

}  // namespace gavel::text
