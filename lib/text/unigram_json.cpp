#include <nlohmann/json.hpp>
#include <string>

#include "json_parts.hpp"
#include "model_json.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

void read_vocabulary(JsonReader& reader, UnigramParts& model) {
  reader.array([&] {
    int parts = 0;
    bool fresh = false;
    reader.array([&] {
      if (parts == 0) {
        const auto id = static_cast<std::int32_t>(model.scores.size());
        fresh = id < largest_id && model.vocabulary.add(reader.string(), id);
      } else {
        model.scores.push_back(reader.number());
      }
      if (++parts > 2) reader.fail("a token of other than a text and a score");
    });
    if (parts != 2) reader.fail("a token of other than a text and a score");
    if (!fresh) reader.fail("a token that is there twice");
  });
}

}  // namespace

UnigramParts read_unigram(JsonReader& reader, std::string_view name) {
  UnigramParts model;
  reader.object([&](std::string_view key) {
    if (key == "vocab") {
      read_vocabulary(reader, model);
      return;
    }
    const Json value = Json::parse(reader.raw());
    if (key == "unk_id") {
      if (value.is_null()) refuse_part(name, "model option", "unk_id null");
      model.unknown = value.get<std::int32_t>();
    } else if (key == "byte_fallback") {
      model.byte_fallback = value.get<bool>();
    } else if (key != "type") {
      refuse_part(name, "model option", key);
    }
  });
  if (model.scores.empty()) corrupt(name, "the vocabulary is missing or empty");
  if (model.unknown < 0 || model.unknown >= model.vocabulary.size()) {
    corrupt(name, "the unknown token's id " + std::to_string(model.unknown) + " is not in the vocabulary");
  }
  return model;
}

}  // namespace gavel::text
