#include "engine/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "gavel/error.hpp"

namespace gavel {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    throw Error(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)));
  struct stat status {};
  void* mapped = MAP_FAILED;
  if (fstat(file, &status) == 0 && status.st_size > 0) {
    size_ = static_cast<std::size_t>(status.st_size);
    mapped = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
  }
  const int reason = errno;
  close(file);
  if (size_ == 0) throw Error(ErrorCode::corrupt_bundle, fmt::format("{} is empty", path.string()));
  if (mapped == MAP_FAILED)
    throw Error(ErrorCode::io,
                fmt::format("cannot map {} ({} bytes): {}", path.string(), size_, std::strerror(reason)));
  data_ = static_cast<const char*>(mapped);
}

MappedFile::~MappedFile() {
  munmap(const_cast<char*>(data_), size_);
}

std::map<std::string, MappedTensor> read_safetensors(const MappedFile& file, const std::filesystem::path& where) {
  static const std::map<std::string, std::size_t, std::less<>> sizes{{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"I8", 1}};
  const auto refuse = [&](const std::string& what) {
    return Error(ErrorCode::corrupt_bundle, fmt::format("{}: {}", where.string(), what));
  };
  const std::string_view bytes = file.bytes();
  std::uint64_t header = 0;
  if (bytes.size() < sizeof header) throw refuse("too short for a safetensors header");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header > bytes.size() - sizeof header)
    throw refuse(
        fmt::format("its header of {} bytes does not fit in {} bytes; the file is truncated", header, bytes.size()));
  const std::string_view data = bytes.substr(sizeof header + header);

  std::map<std::string, MappedTensor> tensors;
  try {
    const auto entries = nlohmann::json::parse(bytes.substr(sizeof header, header));
    for (const auto& [name, entry] : entries.items()) {
      if (name == "__metadata__") continue;
      MappedTensor tensor{entry.at("dtype").get<std::string>(), entry.at("shape").get<std::vector<std::int64_t>>()};
      const auto offsets = entry.at("data_offsets").get<std::vector<std::uint64_t>>();
      const auto size = sizes.find(tensor.dtype);
      if (size == sizes.end())
        throw refuse(fmt::format("tensor {} is {}, expected F32, BF16, F16 or I8", name, tensor.dtype));
      std::uint64_t needed = size->second;
      for (const std::int64_t extent : tensor.shape) {
        if (extent < 0 || (extent > 0 && needed > bytes.size() / static_cast<std::uint64_t>(extent)))
          throw refuse(fmt::format("tensor {} claims more bytes than the file has", name));
        needed *= static_cast<std::uint64_t>(extent);
      }
      if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size() ||
          offsets[1] - offsets[0] != needed)
        throw refuse(
            fmt::format("tensor {} needs {} bytes and its offsets do not hold them; the file is truncated or altered",
                        name, needed));
      tensor.data = data.data() + offsets[0];
      tensor.bytes = needed;
      tensors.emplace(name, std::move(tensor));
    }
  } catch (const nlohmann::json::exception& error) {
    throw refuse(fmt::format("its header is not valid: {}", error.what()));
  }
  return tensors;
}

}  // namespace gavel
