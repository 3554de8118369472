#include "json_parts.hpp"

namespace gavel::text {

namespace {

using Json = nlohmann::json;

std::string replaced_text(const Json& pattern, std::string_view name) {
  if (!pattern.contains("String")) refuse_part(name, "decoder", "a Replace whose pattern is a Regex");
  std::string text = pattern.at("String").get<std::string>();
  if (text.empty()) refuse_part(name, "decoder", "a Replace of the empty text");
  return text;
}

void read_decoder_step(const Json& value, std::string_view name, bool& fused, Decoder& decoder) {
  const std::string type = value.at("type").get<std::string>();
  if (decoder.byte_level || (fused && type != "Strip")) refuse_part(name, "decoder", type + " at this place");
  if (type == "ByteLevel") {
    if (decoder.byte_fallback || !decoder.replacements.empty()) refuse_part(name, "decoder", "ByteLevel at this place");
    decoder.byte_level = true;
  } else if (type == "Replace") {
    if (decoder.byte_fallback) refuse_part(name, "decoder", "Replace after ByteFallback");
    decoder.replacements.emplace_back(replaced_text(value.at("pattern"), name), value.at("content").get<std::string>());
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
    refuse_part(name, "decoder", type + " at this place");
  }
}

void add_flat(const Json& value, std::string_view name, std::vector<const Json*>& steps) {
  if (known_type(value, name, "decoder") != "Sequence") return steps.push_back(&value);
  for (const Json& inner : value.at("decoders")) add_flat(inner, name, steps);
}

}  // namespace

Decoder read_decoder(const Json& value, std::string_view name) {
  std::vector<const Json*> steps;
  if (!value.is_null()) add_flat(value, name, steps);
  if (steps.empty()) refuse_part(name, "decoder", "null (tokens joined by spaces)");
  Decoder decoder;
  if (steps.size() == 1 && steps[0]->at("type") == "Metaspace") {
    const Metaspace said = read_metaspace(*steps[0], name, "decoder");
    decoder.replacements.emplace_back(said.mark, " ");
    if (said.always || said.first) decoder.left_out_of_first = said.mark;
    return decoder;
  }
  bool fused = false;
  for (const Json* step : steps) read_decoder_step(*step, name, fused, decoder);
  return decoder;
}

}  // namespace gavel::text
