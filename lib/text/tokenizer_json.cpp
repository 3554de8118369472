#include "tokenizer_json.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <variant>

#include "gavel/error.hpp"
#include "json_parts.hpp"
#include "model_json.hpp"
#include "utf8.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

// The model's type. Old files name none: then it is what the vocabulary is written for.
std::string model_type(const JsonReader& reader) {
  if (const auto type = reader.member("type")) return Json::parse(*type).get<std::string>();
  const auto vocabulary = reader.member("vocab");
  return vocabulary && vocabulary->starts_with('[') ? "Unigram" : "BPE";
}

// Padding and truncation belong to calls that Gavel does not make.
class FileReader {
 public:
  explicit FileReader(std::string_view name) : name_(name) {}

  TokenizerJson read(std::string_view json) {
    JsonReader reader(json, name_);
    std::optional<std::string_view> model;  // where it comes before the pre-tokenizer, which says how to read it
    bool seen_pretokenizer = false;
    reader.object([&](std::string_view key) {
      if (key == "model" && seen_pretokenizer) {
        read_model(reader);
      } else if (key == "model") {
        model = reader.raw();
      } else if (key == "pre_tokenizer") {
        pretokenizer_ = read_pretokenizer(Json::parse(reader.raw()), name_);
        seen_pretokenizer = true;
      } else {
        read_part(key, reader);
      }
    });
    reader.end();
    if (model) {
      JsonReader inner = reader.within(*model);
      read_model(inner);
    }
    finish();
    return std::move(file_);
  }

 private:
  void read_model(JsonReader& reader) {
    const std::string type = model_type(reader);
    if (type == "BPE") {
      model_ = read_bpe(reader, pretokenizer_.byte_level, file_, name_);
    } else if (type != "Unigram") {
      refuse_part(name_, "model", type);
    } else if (pretokenizer_.byte_level) {
      refuse_part(name_, "model", "Unigram with ByteLevel");
    } else {
      model_ = read_unigram(reader, name_);
    }
  }

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
    } else if (key == "post_processor") {
      check_post_processor(Json::parse(raw), name_);
    } else if (key != "truncation" && key != "padding") {
      refuse_part(name_, "part", key);
    }
  }

  void finish() {
    if (!seen_decoder_) (void)read_decoder(nullptr, name_);
    if (file_.decoder.byte_level != pretokenizer_.byte_level) {
      refuse_part(name_, "decoder", "that does not undo the pre_tokenizer (ByteLevel in one of them only)");
    }
    if (pretokenizer_.asks_for_start && !file_.normalizer.empty()) {
      refuse_part(name_, "pre_tokenizer", "Metaspace with prepend_scheme first after a normalizer");
    }
    std::vector<std::int32_t> forbidden;  // for any text to become
    for (const AddedToken& token : file_.added) {
      if (token.special) forbidden.push_back(token.id);
    }
    file_.pretokenizer = std::move(pretokenizer_.pretokenizer);
    if (auto* bpe = std::get_if<BpeParts>(&model_)) {
      bpe->forbidden = std::move(forbidden);
      file_.model = std::make_unique<Bpe>(std::move(*bpe));
    } else if (auto* unigram = std::get_if<UnigramParts>(&model_)) {
      unigram->forbidden = std::move(forbidden);
      file_.model = std::make_unique<Unigram>(std::move(*unigram));
    } else {
      corrupt(name_, "the model is missing");
    }
  }

  std::string_view name_;
  TokenizerJson file_;
  PreTokenizerPart pretokenizer_;
  std::variant<std::monostate, BpeParts, UnigramParts> model_;
  bool seen_decoder_ = false;
};

}  // namespace

void check_post_processor(const Json& value, std::string_view name) {
  if (value.is_null() || known_type(value, name, "post_processor") != "Sequence") return;
  for (const Json& inner : value.at("processors")) check_post_processor(inner, name);
}

void corrupt(std::string_view name, const std::string& what) {
  throw Error(ErrorCode::corrupt_bundle, std::string(name) + ": " + what + "; export the bundle again");
}

TokenizerJson read_tokenizer_json(std::string_view json, std::string_view name) {
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
