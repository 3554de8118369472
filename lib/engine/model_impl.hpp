#pragma once

#include <torch/script.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/manifest.hpp"
#include "engine/safetensors.hpp"
#include "gavel/model.hpp"
#include "gavel/tokenizer.hpp"

namespace gavel {

/// A loaded bundle. Only the engine sees the program behind it; everything else asks `facts.hpp`.
class Model::Impl {
 public:
  std::filesystem::path folder;
  std::shared_ptr<const Impl> base;  // of an adapted model, whose weights it shares
  std::vector<std::string> adapters;
  std::string manifest_text, digest;
  Manifest manifest;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ProbeSpec> probe;
  std::unique_ptr<MappedFile> mapped;  // outlives the program, whose tensors point into it
  torch::jit::Module program;
  torch::Device device{torch::kCPU};
  torch::Dtype cache_dtype = torch::kFloat32;
  std::uint64_t weight_bytes = 0;
};

}  // namespace gavel
