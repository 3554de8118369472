#include "bpe_json_parts.hpp"

#include <set>
#include <string>

#include "gavel/error.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

constexpr std::int32_t largest_id = 1 << 24;

std::string type_of(const Json& value) {
  return value.at("type").get<std::string>();
}

// A pattern as the reference writes it: {"Regex": ...} or {"String": ...}.
std::string replaced_text(const Json& pattern, std::string_view name, std::string_view part) {
  if (!pattern.contains("String")) refuse_part(name, part, "a Replace whose pattern is a Regex");
  std::string text = pattern.at("String").get<std::string>();
  if (text.empty()) refuse_part(name, part, "a Replace of the empty text");
  return text;
}

void read_normalizer_steps(const Json& value, std::string_view name, std::vector<Normalizer::Step>& steps) {
  using Kind = Normalizer::Step::Kind;
  if (value.is_null()) return;
  const std::string type = type_of(value);
  if (type == "Sequence") {
    for (const Json& inner : value.at("normalizers")) read_normalizer_steps(inner, name, steps);
  } else if (type == "NFC") {
    steps.push_back({Kind::nfc, "", ""});
  } else if (type == "Prepend") {
    steps.push_back({Kind::prepend, "", value.at("prepend").get<std::string>()});
  } else if (type == "Replace") {
    steps.push_back({Kind::replace, replaced_text(value.at("pattern"), name, "normalizer"),
                     value.at("content").get<std::string>()});
  } else {
    refuse_part(name, "normalizer", type);
  }
}

class PreTokenizerReader {
 public:
  PreTokenizerReader(std::string_view name) : name_(name) {}

  void read(const Json& value) {
    if (value.is_null()) return;
    const std::string type = type_of(value);
    if (type == "Sequence") {
      for (const Json& inner : value.at("pretokenizers")) read(inner);
      return;
    }
    // Behind ByteLevel the text is in the byte alphabet, which no step here works on.
    if (byte_level_) refuse_part(name_, "pre_tokenizer", type + " after ByteLevel");
    if (type == "ByteLevel") {
      byte_level(value);
    } else if (type == "Split") {
      split(value);
    } else if (type == "Digits") {
      add_split(digits_pattern(value.at("individual_digits").get<bool>()));
    } else if (type == "Metaspace") {
      metaspace(value);
    } else {
      refuse_part(name_, "pre_tokenizer", type);
    }
  }

  PreTokenizerPart finish() { return {PreTokenizer(std::move(steps_)), byte_level_}; }

 private:
  using Step = PreTokenizer::Step;

  Step& add_split(Pattern pattern) {
    Step& step = steps_.emplace_back();
    step.kind = Step::Kind::split;
    step.pattern.emplace(std::move(pattern));
    return step;
  }

  void byte_level(const Json& value) {
    byte_level_ = true;
    if (value.at("add_prefix_space").get<bool>()) {
      Step& step = steps_.emplace_back();
      step.kind = Step::Kind::prefix;
      step.text = " ";
    }
    if (value.value("use_regex", true)) add_split(gpt2_pattern());
  }

  void split(const Json& value) {
    const std::string behavior = value.at("behavior").get<std::string>();
    if (behavior != "Isolated" && behavior != "Removed") {
      refuse_part(name_, "pre_tokenizer", "Split with behavior " + behavior);
    }
    const Json& pattern = value.at("pattern");
    Step& step = add_split(Pattern(pattern.contains("Regex")
                                       ? translate_pattern(pattern.at("Regex").get_ref<const std::string&>())
                                       : literal_pattern(pattern.at("String").get_ref<const std::string&>())));
    step.remove = behavior == "Removed";
    step.invert = value.at("invert").get<bool>();
  }

  void metaspace(const Json& value) {
    Step& step = steps_.emplace_back();
    step.kind = Step::Kind::metaspace;
    step.text = value.at("replacement").get<std::string>();
    const std::string scheme = value.value("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      refuse_part(name_, "pre_tokenizer", "Metaspace with prepend_scheme " + scheme);
    }
    step.put_first = scheme != "never";
    step.only_first = scheme == "first";
    step.split_words = value.value("split", true);
  }

  std::string_view name_;
  std::vector<Step> steps_;
  bool byte_level_ = false;
};

void read_decoder_step(const Json& value, std::string_view name, bool& fused, Decoder& decoder) {
  const std::string type = type_of(value);
  if (decoder.byte_level || (fused && type != "Strip")) refuse_part(name, "decoder", type + " at this place");
  if (type == "ByteLevel") {
    if (decoder.byte_fallback || !decoder.replacements.empty()) refuse_part(name, "decoder", "ByteLevel at this place");
    decoder.byte_level = true;
  } else if (type == "Replace") {
    if (decoder.byte_fallback) refuse_part(name, "decoder", "Replace after ByteFallback");
    decoder.replacements.emplace_back(replaced_text(value.at("pattern"), name, "decoder"),
                                      value.at("content").get<std::string>());
  } else if (type == "ByteFallback") {
    decoder.byte_fallback = true;
  } else if (type == "Fuse") {
    fused = true;
  } else if (type == "Strip") {
    if (!fused) refuse_part(name, "decoder", "Strip before Fuse");
    if (value.at("stop").get<int>() != 0) refuse_part(name, "decoder", "Strip at the end of the text");
    if (decoder.strip_count != 0) refuse_part(name, "decoder", "a second Strip");
    decoder.strip = value.at("content").get<std::string>();
    decoder.strip_count = decoder.strip.empty() ? 0 : value.at("start").get<int>();
  } else {
    refuse_part(name, "decoder", type);
  }
}

}  // namespace

void refuse_part(std::string_view name, std::string_view part, std::string_view found) {
  throw Error(ErrorCode::unsupported, std::string(name) + ": this build does not know the " + std::string(part) + " " +
                                          std::string(found) + "; convert the tokenizer, or use its tokenizer.model");
}

Normalizer read_normalizer(const Json& value, std::string_view name) {
  std::vector<Normalizer::Step> steps;
  read_normalizer_steps(value, name, steps);
  return Normalizer(std::move(steps));
}

PreTokenizerPart read_pretokenizer(const Json& value, std::string_view name) {
  PreTokenizerReader reader(name);
  reader.read(value);
  return reader.finish();
}

Decoder read_decoder(const Json& value, std::string_view name) {
  if (value.is_null()) refuse_part(name, "decoder", "null (tokens joined by spaces)");
  Decoder decoder;
  bool fused = false;
  if (type_of(value) == "Sequence") {
    for (const Json& inner : value.at("decoders")) read_decoder_step(inner, name, fused, decoder);
  } else {
    read_decoder_step(value, name, fused, decoder);
  }
  return decoder;
}

std::vector<AddedToken> read_added_tokens(const Json& value, std::string_view name) {
  std::vector<AddedToken> tokens;
  if (value.is_null()) return tokens;
  std::set<std::int64_t> ids;
  std::set<std::string> contents;
  for (const Json& entry : value) {
    AddedToken token;
    const auto id = entry.at("id").get<std::int64_t>();
    token.content = entry.at("content").get<std::string>();
    token.special = entry.at("special").get<bool>();
    token.single_word = entry.at("single_word").get<bool>();
    token.lstrip = entry.at("lstrip").get<bool>();
    token.rstrip = entry.at("rstrip").get<bool>();
    token.normalized = entry.at("normalized").get<bool>();
    if (id < 0 || id >= largest_id || token.content.empty() || !ids.insert(id).second ||
        !contents.insert(token.content).second) {
      throw Error(ErrorCode::corrupt_bundle, std::string(name) + ": added token \"" + token.content + "\" with id " +
                                                 std::to_string(id) +
                                                 " is empty, out of range or there twice; export the bundle again");
    }
    token.id = static_cast<std::int32_t>(id);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace gavel::text
