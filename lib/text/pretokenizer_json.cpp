#include <map>

#include "json_parts.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

class PreTokenizerReader {
 public:
  explicit PreTokenizerReader(std::string_view name) : name_(name) {}

  void read(const Json& value) {
    if (value.is_null()) return;
    const std::string type = known_type(value, name_, "pre_tokenizer");
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
      add_split(white_space_pattern()).behavior = Behavior::removed;
    }
  }

  PreTokenizerPart finish() { return {PreTokenizer(std::move(steps_)), byte_level_, asks_for_start_}; }

 private:
  using Step = PreTokenizer::Step;
  using Behavior = Step::Behavior;

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
    static const std::map<std::string, Behavior> behaviors = {{"Isolated", Behavior::isolated},
                                                              {"Removed", Behavior::removed},
                                                              {"MergedWithPrevious", Behavior::merged_with_previous},
                                                              {"MergedWithNext", Behavior::merged_with_next},
                                                              {"Contiguous", Behavior::contiguous}};
    const auto behavior = behaviors.find(value.at("behavior").get<std::string>());
    if (behavior == behaviors.end()) refuse_part(name_, "pre_tokenizer", "Split with " + value.at("behavior").dump());
    const Json& pattern = value.at("pattern");
    Step& step = add_split(Pattern(pattern.contains("Regex")
                                       ? translate_pattern(pattern.at("Regex").get_ref<const std::string&>())
                                       : literal_pattern(pattern.at("String").get_ref<const std::string&>())));
    step.behavior = behavior->second;
    step.invert = value.at("invert").get<bool>();
  }

  void metaspace(const Json& value) {
    const Metaspace said = read_metaspace(value, name_, "pre_tokenizer");
    Step& step = steps_.emplace_back();
    step.kind = Step::Kind::metaspace;
    step.text = said.mark;
    step.put_first = said.always || said.first;
    step.only_first = said.first;
    step.split_words = said.split;
    asks_for_start_ = asks_for_start_ || said.first;
  }

  std::string_view name_;
  std::vector<Step> steps_;
  bool byte_level_ = false, asks_for_start_ = false;
};

}  // namespace

Metaspace read_metaspace(const Json& value, std::string_view name, std::string_view part) {
  const std::string scheme = value.value("prepend_scheme", "always");
  const bool never = scheme == "never";
  Metaspace said{value.at("replacement").get<std::string>(), scheme == "always", scheme == "first",
                 value.value("split", true)};
  if (!never && !said.always && !said.first) refuse_part(name, part, "Metaspace with prepend_scheme " + scheme);
  // Older files say it so, and the reference takes no other scheme beside it.
  if (!value.value("add_prefix_space", true) && !never) {
    refuse_part(name, part, "Metaspace with add_prefix_space false and prepend_scheme " + scheme);
  }
  if (said.mark.empty()) refuse_part(name, part, "Metaspace without a replacement");
  return said;
}

PreTokenizerPart read_pretokenizer(const Json& value, std::string_view name) {
  PreTokenizerReader reader(name);
  reader.read(value);
  return reader.finish();
}

}  // namespace gavel::text
