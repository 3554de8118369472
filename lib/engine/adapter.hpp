#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/manifest.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// Names of the adapters in a bundle's folder, sorted.
[[nodiscard]] std::vector<std::string> adapter_names(const std::filesystem::path& bundle);

/// Whether a folder holds an adapter rather than a bundle.
[[nodiscard]] bool is_adapter(const std::filesystem::path& folder);

/// Opens the bundle that an adapter's folder lies in, and adapts it.
[[nodiscard]] Model open_adapter(const std::filesystem::path& folder, const OpenOptions& options);

/// What decides a model's numbers: SHA-256 over "NAME SHA256\n" of program, tokenizer and weights, by name. An adapter
/// is made for one such digest; prompts and probes may change beneath it.
[[nodiscard]] std::string base_digest(const Manifest& manifest);

/// What adapter.json says, validated against its base.
struct AdapterSpec {
  std::string manifest_text;  ///< the base's manifest with the adapter's name, prompts, head, judge and self-test
  Manifest manifest;
  Manifest::File weights;
};

/// Parses adapter.json. Throws corrupt_bundle naming the field, and invalid_argument where it is for another base.
[[nodiscard]] AdapterSpec parse_adapter(std::string_view json, std::string_view base_json, const Manifest& base,
                                        const std::filesystem::path& where);

}  // namespace gavel
