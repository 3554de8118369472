#include "engine/bundle_files.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "gavel/error.hpp"
#include "sha256.hpp"

namespace gavel {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw Error(ErrorCode::not_found,
                fmt::format("cannot open {}: no such file, or no right to read it", path.string()));
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) throw Error(ErrorCode::io, fmt::format("reading {} failed", path.string()));
  return std::move(text).str();
}

void check_size(const Manifest::File& expected, const std::filesystem::path& file, std::size_t found) {
  if (found != expected.bytes)
    throw Error(ErrorCode::corrupt_bundle,
                fmt::format("{}: {} has {} bytes, the manifest says {}; copy or export the bundle again",
                            file.parent_path().string(), file.filename().string(), found, expected.bytes));
}

void check_hash(const Manifest::File& expected, const std::filesystem::path& file, std::string_view bytes) {
  check_size(expected, file, bytes.size());
  if (const std::string found = sha256_hex(bytes); found != expected.sha256)
    throw Error(
        ErrorCode::corrupt_bundle,
        fmt::format(
            "{}: {} has SHA-256 {}, the manifest says {}; it was altered or damaged, copy or export the bundle again",
            file.parent_path().string(), file.filename().string(), found, expected.sha256));
}

}  // namespace gavel
