#include "probe.hpp"

#include "sha256.hpp"

namespace gavel {

std::string probe_input(const Model& model, std::span<const std::int32_t> prompt,
                        std::span<const std::int32_t> tokens) {
  const auto bytes = [](std::span<const std::int32_t> ids) {
    return std::string_view(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  };
  Sha256 hash;
  hash.update(model.digest());
  hash.update(std::to_string(prompt.size()) + ",");
  hash.update(bytes(prompt));
  hash.update(bytes(tokens));
  return hash.hex();
}

}  // namespace gavel
