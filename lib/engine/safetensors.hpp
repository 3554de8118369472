#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gavel {

/// A file mapped read-only. The mapping lives as long as this does; the file may be removed, but not written.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  [[nodiscard]] std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// One tensor inside a mapped safetensors file.
struct MappedTensor {
  std::string dtype;  ///< as the format writes it: "F32", "I8", ...
  std::vector<std::int64_t> shape;
  const char* data = nullptr;
  std::size_t bytes = 0;
};

/// The tensors of a safetensors file by name, each checked to lie within the file and to have the bytes its shape
/// needs. Throws corrupt_bundle.
[[nodiscard]] std::map<std::string, MappedTensor> read_safetensors(const MappedFile& file,
                                                                   const std::filesystem::path& where);

}  // namespace gavel
