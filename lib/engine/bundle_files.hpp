#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "engine/manifest.hpp"

namespace gavel {

/// A whole file. Throws not_found or io.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// Throws corrupt_bundle where the file has another size than its manifest says.
void check_size(const Manifest::File& expected, const std::filesystem::path& file, std::size_t found);

/// The same for its size and its SHA-256.
void check_hash(const Manifest::File& expected, const std::filesystem::path& file, std::string_view bytes);

}  // namespace gavel
