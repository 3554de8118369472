#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <memory>

#include "character_map.hpp"
#include "gavel/error.hpp"
#include "json_parts.hpp"
#include "normal_form.hpp"
#include "unicode.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;
using Steps = std::vector<Normalizer::Step>;

std::string from_base64(const std::string& written, std::string_view name) {
  std::string bytes(written.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(written.data()), static_cast<int>(written.size()));
  if (size < 0 || written.size() % 4 != 0) {
    throw Error(ErrorCode::corrupt_bundle,
                std::string(name) + ": the Precompiled normalizer's map is no base64; export the bundle again");
  }
  const std::size_t padding = written.size() - (written.find_last_not_of('=') + 1);
  bytes.resize(bytes.size() - std::min(bytes.size(), padding));
  return bytes;
}

// A pattern as the reference writes it: {"Regex": ...} or {"String": ...}.
void add_replace(const Json& value, std::string_view name, Steps& steps) {
  const Json& pattern = value.at("pattern");
  const std::string to = value.at("content").get<std::string>();
  if (pattern.contains("Regex")) {
    const auto regex = std::make_shared<const Pattern>(translate_pattern(pattern.at("Regex").get<std::string>()));
    steps.emplace_back([regex, to](std::string_view text) { return replace_matches(text, *regex, to); });
    return;
  }
  const std::string from = pattern.at("String").get<std::string>();
  if (from.empty()) refuse_part(name, "normalizer", "Replace of the empty text");
  steps.emplace_back([from, to](std::string_view text) { return replace_all(text, from, to); });
}

void add_steps(const Json& value, std::string_view name, Steps& steps) {
  if (value.is_null()) return;
  static const std::map<std::string, NormalForm> forms = {
      {"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}};
  const std::string type = known_type(value, name, "normalizer");
  if (type == "Sequence") {
    for (const Json& inner : value.at("normalizers")) add_steps(inner, name, steps);
  } else if (const auto form = forms.find(type); form != forms.end()) {
    steps.emplace_back([form = form->second](std::string_view text) { return normal_form(text, form); });
  } else if (type == "Lowercase") {
    steps.emplace_back(lowercase);
  } else if (type == "Strip") {
    const bool left = value.at("strip_left").get<bool>(), right = value.at("strip_right").get<bool>();
    steps.emplace_back([left, right](std::string_view text) { return std::string(strip(text, left, right)); });
  } else if (type == "Prepend") {
    const std::string before = value.at("prepend").get<std::string>();
    steps.emplace_back([before](std::string_view text) { return text.empty() ? "" : before + std::string(text); });
  } else if (type == "Replace") {
    add_replace(value, name, steps);
  } else {
    steps.emplace_back(CharacterMap(from_base64(value.at("precompiled_charsmap").get<std::string>(), name), name));
  }
}

}  // namespace

Normalizer read_normalizer(const Json& value, std::string_view name) {
  Steps steps;
  add_steps(value, name, steps);
  return Normalizer(std::move(steps));
}

}  // namespace gavel::text
