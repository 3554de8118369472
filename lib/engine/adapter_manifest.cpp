#include <fmt/format.h>

#include "engine/adapter.hpp"
#include "engine/manifest_reader.hpp"
#include "sha256.hpp"

namespace gavel {

std::string base_digest(const Manifest& manifest) {
  std::string said;
  for (const auto& [name, file] : manifest.files)
    if (name == "program.pt" || name == "weights.safetensors" || name == manifest.tokenizer_file)
      said += fmt::format("{} {}\n", name, file.sha256);
  return sha256_hex(said);
}

AdapterSpec parse_adapter(std::string_view json, std::string_view base_json, const Manifest& base,
                          const std::filesystem::path& where) {
  const Json adapter = parse_json(json, where);
  const Reader root(adapter, "", where);
  root.require_format(Manifest::format, "make the adapter again");
  const std::string expected = base_digest(base), found = root.object("base").text("digest");
  if (found != expected)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} was made for a model with digest {}, and \"{}\" has {}; make it for this bundle with "
                            "`gavel adapt`, or use the one it was made for",
                            where.string(), found, base.name, expected));
  Json manifest = Json::parse(base_json);
  manifest["name"] = fmt::format("{}+{}", base.name, root.text("name"));
  manifest["prompts"].update(root.at("prompts"));
  for (const char* part : {"head", "judge", "selftest", "lora", "provenance"}) manifest[part] = root.at(part);
  manifest["probe"] = nullptr;
  manifest["files"].erase("probe.json");
  AdapterSpec spec;
  spec.manifest_text = manifest.dump(1);
  spec.manifest = parse_manifest(spec.manifest_text, where);
  spec.weights = read_file_entry(root.object("files"), "adapter.safetensors");
  return spec;
}

}  // namespace gavel
