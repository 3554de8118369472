#include <nlohmann/json.hpp>
#include <optional>

#include "byte_alphabet.hpp"
#include "json_parts.hpp"
#include "model_json.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

class BpeReader {
 public:
  BpeReader(bool byte_level, TokenizerJson& file, std::string_view name) : file_(file), name_(name) {
    model_.byte_level = byte_level;
  }

  BpeParts read(JsonReader& reader) {
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
    return std::move(model_);
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
    if (key == "dropout") {
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
    } else if (key != "type") {
      refuse_part(name_, "model option", key);
    }
  }

  TokenizerJson& file_;
  BpeParts model_;
  std::string_view name_;
  std::string spelled_;
  std::int32_t last_result_ = -1;
  std::optional<std::string> unknown_;
};

}  // namespace

BpeParts read_bpe(JsonReader& reader, bool byte_level, TokenizerJson& file, std::string_view name) {
  return BpeReader(byte_level, file, name).read(reader);
}

}  // namespace gavel::text
