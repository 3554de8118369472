#include "engine/adapter.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "engine/bundle_files.hpp"
#include "engine/guard.hpp"
#include "engine/model_impl.hpp"
#include "sha256.hpp"

namespace gavel {
namespace {

namespace fs = std::filesystem;

/// The program with places of its own for an adapter's tensors; code and weights are shared.
torch::jit::Module with_own_places(const torch::jit::Module& module) {
  torch::jit::Module copy = module.copy();
  for (const auto& child : module.named_children()) copy.setattr(child.name, with_own_places(child.value)._ivalue());
  return copy;
}

/// Puts an adapter's tensors into the places of a program.
class Placing {
 public:
  Placing(torch::jit::Module program, torch::Device device, const fs::path& file)
      : program_(std::move(program)), device_(device), file_(file) {}

  /// Sets lora_a and lora_b of one linear layer.
  void lora(const std::string& layer, std::map<std::string, MappedTensor>& tensors) const {
    torch::jit::Module linear = module(layer);
    const auto [outputs, inputs] = sizes_of(linear, layer);
    const torch::Tensor a = take(tensors, layer + ".lora_a");
    if (a.dim() != 2 || a.size(1) != inputs)
      throw refuse(
          fmt::format("{}.lora_a is [{}], the model needs [rank, {}]", layer, fmt::join(a.sizes(), ", "), inputs));
    c10::List<torch::Tensor> parts;
    std::int64_t rows = 0, ranks = 0;
    for (std::string name = layer + ".lora_b.0"; tensors.contains(name);
         name = fmt::format("{}.lora_b.{}", layer, parts.size())) {
      const torch::Tensor b = take(tensors, name);
      if (b.dim() != 2) throw refuse(fmt::format("{} is [{}], expected two sizes", name, fmt::join(b.sizes(), ", ")));
      rows += b.size(0);
      ranks += b.size(1);
      parts.push_back(b);
    }
    if (rows != outputs || ranks != a.size(0))
      throw refuse(fmt::format("{}.lora_b has {} rows of rank {} in all, the model needs {} of {}", layer, rows, ranks,
                               outputs, a.size(0)));
    linear.setattr("lora_a", a);
    linear.setattr("lora_b", parts);
  }

  /// Sets a classifier's head: in the vocabulary's place, or for another one.
  void score(std::map<std::string, MappedTensor>& tensors, std::int64_t labels, std::int64_t hidden) const {
    if (!program_.hasattr("score")) throw refuse("score.weight has no place in the model");
    const torch::Tensor weight = take(tensors, "score.weight");
    if (weight.sizes() != torch::IntArrayRef{labels, hidden})
      throw refuse(fmt::format("score.weight is [{}], head.labels and the model need [{}, {}]",
                               fmt::join(weight.sizes(), ", "), labels, hidden));
    torch::jit::Module owner = program_;
    if (const auto there = owner.attr("score"); there.isModule())
      there.toModule().setattr("weight", weight);
    else
      owner.setattr("score", weight);
  }

  [[nodiscard]] Error refuse(const std::string& what) const {
    return {ErrorCode::corrupt_bundle, fmt::format("{}: {}; make the adapter again", file_.string(), what)};
  }

 private:
  [[nodiscard]] torch::jit::Module module(const std::string& path) const {
    torch::jit::Module found = program_;
    for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = path.find('.', begin);
      const std::string part = path.substr(begin, end - begin);
      if (!found.hasattr(part) || !found.attr(part).isModule())
        throw refuse(fmt::format("{} is no layer of the model", path));
      found = found.attr(part).toModule();
    }
    return found;
  }

  /// Outputs and inputs of a linear layer.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> sizes_of(const torch::jit::Module& linear,
                                                               const std::string& layer) const {
    if (!linear.hasattr("lora_a") || !linear.hasattr("lora_b"))
      throw refuse(
          fmt::format("{} is no linear layer of the model, or the model was exported by an earlier version", layer));
    if (linear.hasattr("inputs")) return {linear.attr("scale").toTensor().size(0), linear.attr("inputs").toInt()};
    const torch::Tensor weight = linear.attr("weight").toTensor();
    return {weight.size(0), weight.size(1)};
  }

  /// A tensor of the file, on the device.
  [[nodiscard]] torch::Tensor take(std::map<std::string, MappedTensor>& tensors, const std::string& name) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw refuse(fmt::format("tensor {} is missing", name));
    const MappedTensor tensor = found->second;
    if (tensor.dtype != "F32") throw refuse(fmt::format("tensor {} is {}, expected F32", name, tensor.dtype));
    if (reinterpret_cast<std::uintptr_t>(tensor.data) % sizeof(float) != 0)
      throw refuse(fmt::format("tensor {} does not begin at a multiple of 4 bytes", name));
    const torch::Tensor value = torch::from_blob(const_cast<char*>(tensor.data), tensor.shape, torch::kFloat32);
    if (!torch::isfinite(value).all().item<bool>())
      throw refuse(fmt::format("tensor {} holds NaN or infinite values", name));
    tensors.erase(found);
    return value.to(device_);
  }

  torch::jit::Module program_;
  torch::Device device_;
  const fs::path& file_;
};

void place_adapter(Model::Impl& model, const fs::path& file) {
  const Placing placing(model.program, model.device, file);
  auto tensors = read_safetensors(*model.mapped, file);
  const Manifest& m = model.manifest;
  const bool head_changes = m.head == "classifier" && model.base->manifest.head != "classifier";
  if (head_changes || tensors.contains("score.weight"))
    placing.score(tensors, static_cast<std::int64_t>(m.labels.size()), m.hidden);
  else if (m.labels.size() != model.base->manifest.labels.size())
    throw placing.refuse(fmt::format("it names {} labels and brings no score.weight; the model has {}", m.labels.size(),
                                     model.base->manifest.labels.size()));
  constexpr std::string_view ending = ".lora_a";
  std::vector<std::string> layers;
  for (const auto& [name, tensor] : tensors)
    if (name.ends_with(ending)) layers.push_back(name.substr(0, name.size() - ending.size()));
  for (const std::string& layer : layers) placing.lora(layer, tensors);
  if (!tensors.empty()) throw placing.refuse(fmt::format("tensor {} belongs nowhere", tensors.begin()->first));
}

/// Where an adapter is: a name means one of the bundle's own.
fs::path folder_of(const Model::Impl& base, const fs::path& name_or_folder) {
  const std::string& given = name_or_folder.native();
  const bool name = given.find('/') == std::string::npos;
  const fs::path folder = name ? base.folder / "adapters" / given : name_or_folder;
  if (!is_adapter(folder)) {
    const auto there = adapter_names(base.folder);
    throw Error(ErrorCode::not_found,
                fmt::format("no adapter at {}; {} has {}; make one with `gavel adapt`", folder.string(),
                            base.folder.string(), there.empty() ? "none" : fmt::format("{}", fmt::join(there, ", "))));
  }
  return folder;
}

}  // namespace

std::vector<std::string> adapter_names(const fs::path& bundle) {
  std::vector<std::string> names;
  std::error_code none;  // a bundle without the folder, or one that cannot be read, has no adapters to name
  for (const auto& entry : fs::directory_iterator(bundle / "adapters", none)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && is_adapter(entry.path())) names.push_back(name);  // with a dot: being written
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_adapter(const fs::path& folder) {
  std::error_code none;
  return fs::is_regular_file(folder / "adapter.json", none);
}

Model open_adapter(const fs::path& folder, const OpenOptions& options) {
  const fs::path there = fs::canonical(folder);
  const fs::path bundle = there.parent_path().parent_path();
  OpenOptions of_base = options;
  of_base.pin.clear();
  of_base.self_test = false;
  Model model = Model::open(bundle, of_base).adapted(there);
  if (!options.pin.empty() && options.pin != model.digest())
    throw Error(ErrorCode::corrupt_bundle, fmt::format("{}: adapter.json has SHA-256 {}, the caller pinned {}",
                                                       folder.string(), model.digest(), options.pin));
  if (options.self_test) model.self_test();
  return model;
}

Model Model::adapted(const fs::path& name_or_folder) const {
  if (impl_->base)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("model \"{}\" is adapted already; adapt the model it was made of", name()));
  const fs::path folder = folder_of(*impl_, name_or_folder), file = folder / "adapter.safetensors";
  const std::string json = read_file(folder / "adapter.json");
  AdapterSpec spec = parse_adapter(json, impl_->manifest_text, impl_->manifest, folder / "adapter.json");

  auto impl = std::make_shared<Impl>();
  impl->folder = folder;
  impl->base = impl_;
  impl->digest = sha256_hex(json);
  impl->manifest_text = std::move(spec.manifest_text);
  impl->manifest = std::move(spec.manifest);
  impl->tokenizer = impl_->tokenizer;
  impl->mapped = std::make_unique<MappedFile>(file);
  check_hash(spec.weights, file, impl->mapped->bytes());
  impl->device = impl_->device;
  impl->cache_dtype = impl_->cache_dtype;
  impl->weight_bytes = impl_->weight_bytes + spec.weights.bytes;
  guarded(fmt::format("loading {}", folder.string()), [&] {
    const c10::InferenceMode inference;
    impl->program = with_own_places(impl_->program);
    place_adapter(*impl, file);
  });
  return Model(impl);
}

const std::vector<std::string>& Model::adapters() const {
  return impl_->adapters;
}

}  // namespace gavel
