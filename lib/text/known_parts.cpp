#include <algorithm>
#include <map>

#include "gavel/error.hpp"
#include "json_parts.hpp"

namespace gavel::text {

namespace {

using Members = std::vector<std::string_view>;
using Types = std::map<std::string_view, Members>;

const Members byte_level = {"add_prefix_space", "trim_offsets", "use_regex"};
const Members metaspace = {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"};

// What each part of a tokenizer.json may be, and the members that say how. The toolkit has the same table
// (tokenizer_parts.py), so that an export refuses what would not open.
const std::map<std::string_view, Types> known = {
    {"normalizer",
     {{"Sequence", {"normalizers"}},
      {"NFC", {}},
      {"NFD", {}},
      {"NFKC", {}},
      {"NFKD", {}},
      {"Lowercase", {}},
      {"Strip", {"strip_left", "strip_right"}},
      {"Prepend", {"prepend"}},
      {"Replace", {"pattern", "content"}},
      {"Precompiled", {"precompiled_charsmap"}}}},
    {"pre_tokenizer",
     {{"Sequence", {"pretokenizers"}},
      {"ByteLevel", byte_level},
      {"Digits", {"individual_digits"}},
      {"Metaspace", metaspace},
      {"Split", {"pattern", "behavior", "invert"}},
      {"WhitespaceSplit", {}}}},
    {"decoder",
     {{"Sequence", {"decoders"}},
      {"ByteFallback", {}},
      {"ByteLevel", byte_level},
      {"Fuse", {}},
      {"Metaspace", metaspace},
      {"Replace", {"pattern", "content"}},
      {"Strip", {"content", "start", "stop"}}}},
    {"post_processor",
     {{"Sequence", {"processors"}},
      {"BertProcessing", {"sep", "cls"}},
      {"ByteLevel", byte_level},
      {"RobertaProcessing", {"sep", "cls", "trim_offsets", "add_prefix_space"}},
      {"TemplateProcessing", {"single", "pair", "special_tokens"}}}},
};

}  // namespace

std::string known_type(const nlohmann::json& value, std::string_view name, std::string_view part) {
  const std::string type = value.at("type").get<std::string>();
  const Types& types = known.at(part);
  const auto found = types.find(type);
  if (found == types.end()) refuse_part(name, part, type);
  for (const auto& [member, _] : value.items()) {
    const Members& members = found->second;
    if (member != "type" && std::find(members.begin(), members.end(), member) == members.end()) {
      refuse_part(name, part, type + " with " + member);
    }
  }
  return type;
}

void refuse_part(std::string_view name, std::string_view part, std::string_view found) {
  throw Error(ErrorCode::unsupported, std::string(name) + ": this build does not know the " + std::string(part) + " " +
                                          std::string(found) + "; convert the tokenizer, or use its tokenizer.model");
}

}  // namespace gavel::text
