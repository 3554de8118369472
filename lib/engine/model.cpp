#include <fmt/ranges.h>
#include <torch/csrc/jit/runtime/profiling_graph_executor_impl.h>
#include <torch/cuda.h>

#include <istream>
#include <mutex>
#include <set>
#include <sstream>

#include "engine/adapter.hpp"
#include "engine/bundle_files.hpp"
#include "engine/estimate.hpp"
#include "engine/facts.hpp"
#include "engine/guard.hpp"
#include "engine/memory.hpp"
#include "engine/model_impl.hpp"
#include "engine/ops.hpp"
#include "sha256.hpp"

namespace gavel {
namespace {

namespace fs = std::filesystem;

/// A file whose bytes are hashed and then used: the same bytes, read once.
std::string read_checked(const Manifest& manifest, const std::string& name, const fs::path& bundle) {
  std::string bytes = read_file(bundle / name);
  check_hash(manifest.files.at(name), bundle / name, bytes);
  return bytes;
}

torch::Device parse_device(const std::string& text) {
  if (text == "cpu") return torch::kCPU;
  std::string_view rest = text;
  if (!rest.starts_with("cuda") ||
      (rest.size() > 4 && (rest[4] != ':' || rest.size() == 5 || rest.size() > 8 ||
                           rest.find_first_not_of("0123456789", 5) != std::string_view::npos)))
    throw Error(ErrorCode::invalid_argument, fmt::format("device \"{}\" is not one of cpu, cuda, cuda:N", text));
  const int index = rest.size() > 5 ? std::stoi(std::string(rest.substr(5))) : 0;
  const auto count = static_cast<int>(torch::cuda::device_count());
  if (count == 0)
    throw Error(ErrorCode::device,
                fmt::format("device \"{}\" was asked for, and no CUDA device is here; use \"cpu\", or "
                            "check the driver with nvidia-smi",
                            text));
  if (index >= count)
    throw Error(ErrorCode::device,
                fmt::format("device \"{}\" was asked for, and there are {} CUDA devices: cuda:0 to cuda:{}", text,
                            count, count - 1));
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(index)};
}

torch::Dtype dtype_of(const std::string& name) {
  if (name == "F32") return torch::kFloat32;
  if (name == "BF16") return torch::kBFloat16;
  if (name == "F16") return torch::kFloat16;
  return torch::kInt8;
}

/// The program's tensors by name: its buffers and its optional biases.
std::vector<std::pair<std::string, torch::Tensor>> tensors_of(const torch::jit::Module& program) {
  std::vector<std::pair<std::string, torch::Tensor>> found;
  for (const auto& attribute : program.named_attributes())
    if (attribute.value.isTensor()) found.emplace_back(attribute.name, attribute.value.toTensor());
  return found;
}

/// Sets every tensor of the program, on the meta device until now, to the mapped one of its name.
void set_weights(Model::Impl& model, const fs::path& bundle) {
  const fs::path file = bundle / "weights.safetensors";
  auto tensors = read_safetensors(*model.mapped, file);
  const auto refuse = [&](const std::string& what) {
    return Error(ErrorCode::corrupt_bundle, fmt::format("{}: {}", file.string(), what));
  };
  for (const auto& [name, expected] : tensors_of(model.program)) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw refuse(fmt::format("tensor {} is missing", name));
    const MappedTensor& tensor = found->second;
    if (torch::IntArrayRef(tensor.shape) != expected.sizes() || dtype_of(tensor.dtype) != expected.scalar_type())
      throw refuse(fmt::format("tensor {} is {} [{}], the program wants {} [{}]", name, tensor.dtype,
                               fmt::join(tensor.shape, ", "), torch::toString(expected.scalar_type()),
                               fmt::join(expected.sizes(), ", ")));
    if (reinterpret_cast<std::uintptr_t>(tensor.data) % 4 != 0)
      throw refuse(fmt::format("tensor {} does not begin at a multiple of 4 bytes; export the bundle again", name));
    torch::Tensor value = torch::from_blob(const_cast<char*>(tensor.data), tensor.shape, dtype_of(tensor.dtype));
    if (model.device.is_cuda()) {
      if (value.dim() == 4) {  // no tiles there: [N, K], K padded
        const auto scale = tensors.find(name.substr(0, name.size() - 6) + "scale");
        const std::int64_t outputs = scale == tensors.end() ? value.size(0) * 16 : scale->second.shape.at(0);
        value = ops::composed::untile(value, outputs, value.size(1) * 4).contiguous();
      }
      value = value.to(model.device);
    }
    torch::jit::Module owner = model.program;
    std::string_view path = name;
    for (auto dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
      owner = owner.attr(std::string(path.substr(0, dot))).toModule();
      path.remove_prefix(dot + 1);
    }
    owner.setattr(std::string(path), value);
    model.weight_bytes += tensor.bytes;
    tensors.erase(found);
  }
  if (!tensors.empty()) throw refuse(fmt::format("tensor {} is in no place of the program", tensors.begin()->first));
}

/// The manifest's sizes against the program's own.
void check_shapes(const Model::Impl& model, const fs::path& bundle) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, tensor] : tensors_of(model.program)) shapes[name] = tensor.sizes().vec();
  const Manifest& m = model.manifest;
  const auto expect = [&](const std::string& tensor, std::size_t axis, std::int64_t size, const char* field) {
    const auto found = shapes.find(tensor);
    const std::int64_t there = found == shapes.end() || found->second.size() <= axis ? 0 : found->second[axis];
    if (there != size)
      throw Error(ErrorCode::corrupt_bundle, fmt::format("{}: the manifest's {} needs {} in {}, the program has {}",
                                                         bundle.string(), field, size, tensor, there));
  };
  const bool int8 = m.precision == "int8";
  const char* outputs = int8 ? ".scale" : ".weight";
  expect(std::string("embedding") + outputs, 0, m.vocabulary, "vocabulary");
  if (m.encodes()) {
    const std::int64_t projections = 3 * m.heads * m.head_dim;
    const auto stack = [&](const char* name, std::int64_t layers, const char* field) {
      const std::string last = fmt::format("{}.layers.{}.", name, layers - 1);
      expect(last + "qkv" + outputs, 0, projections, field);
      expect(last + "attention_norm.weight", 0, m.hidden, "hidden");
      if (shapes.contains(fmt::format("{}.layers.{}.attention_norm.weight", name, layers)))
        expect(std::string(name) + ".layers", 0, layers, field);
    };
    stack("encoder", m.layers, "layers, heads and head_dim");
    if (m.decoder_layers > 0) stack("decoder", m.decoder_layers, "decoder_layers, heads and head_dim");
    if (shapes.contains("encoder.positions")) expect("encoder.positions", 0, m.context, "context");
    if (shapes.contains("encoder.distances.weight")) expect("encoder.distances.weight", 0, m.heads, "heads");
    expect(fmt::format("encoder.layers.{}.mlp.up{}", m.layers - 1, outputs), 0, (m.gated ? 2 : 1) * m.intermediate,
           "intermediate");
    expect("head.out.weight", 0, static_cast<std::int64_t>(m.labels.size()), "head.labels");
    return;
  }
  expect("norm.weight", 0, m.hidden, "hidden");
  expect("rope.frequencies", 1, m.rotary_dim / 2, "rotary_dim");
  expect(fmt::format("layers.{}.qkv{}", m.layers - 1, outputs), 0, (m.heads + 2 * m.kv_heads) * m.head_dim,
         "layers, heads, kv_heads and head_dim");
  expect(fmt::format("layers.{}.gate_up{}", m.layers - 1, outputs), 0, (m.gated ? 2 : 1) * m.intermediate,
         "intermediate");
  if (shapes.contains(fmt::format("layers.{}.norm.weight", m.layers)) ||
      shapes.contains(fmt::format("layers.{}.attention_norm.weight", m.layers)))
    expect("layers", 0, m.layers, "layers");
  if (m.head == "classifier") expect("score.weight", 0, static_cast<std::int64_t>(m.labels.size()), "head.labels");
}

}  // namespace

Model Model::open(const fs::path& bundle, const OpenOptions& options) {
  if (is_adapter(bundle)) return open_adapter(bundle, options);
  const torch::Device device = parse_device(options.device);
  if (!fs::is_directory(bundle))
    throw Error(ErrorCode::not_found, fmt::format("no bundle at {}: expected a folder with gavel.json; make one with "
                                                  "`gavel export`",
                                                  bundle.string()));
  auto impl = std::make_shared<Impl>();
  impl->device = device;
  impl->folder = bundle;
  impl->manifest_text = read_file(bundle / "gavel.json");
  impl->digest = sha256_hex(impl->manifest_text);
  if (!options.pin.empty() && options.pin != impl->digest)
    throw Error(ErrorCode::corrupt_bundle, fmt::format("{}: gavel.json has SHA-256 {}, the caller pinned {}",
                                                       bundle.string(), impl->digest, options.pin));
  impl->manifest = parse_manifest(impl->manifest_text, bundle / "gavel.json");
  const Manifest& manifest = impl->manifest;

  const std::string program = read_checked(manifest, "program.pt", bundle);
  const std::string tokenizer = read_checked(manifest, manifest.tokenizer_file, bundle);
  const fs::path weights = bundle / "weights.safetensors";
  impl->mapped = std::make_unique<MappedFile>(weights);
  check_size(manifest.files.at("weights.safetensors"), weights, impl->mapped->bytes().size());
  if (options.verify_weights) check_hash(manifest.files.at("weights.safetensors"), weights, impl->mapped->bytes());
  if (manifest.probe_file)
    impl->probe =
        parse_probe(read_checked(manifest, *manifest.probe_file, bundle), manifest, bundle / *manifest.probe_file);

  impl->tokenizer = Tokenizer::from_bytes(tokenizer, manifest.tokenizer_file);
  if (impl->tokenizer->size() != manifest.tokenizer_size)
    throw Error(
        ErrorCode::corrupt_bundle,
        fmt::format("{}: {} knows {} tokens, the manifest says {}; the tokenizer is another model's", bundle.string(),
                    manifest.tokenizer_file, impl->tokenizer->size(), manifest.tokenizer_size));

  impl->adapters = adapter_names(bundle);

  if (manifest.precision == "bf16") impl->cache_dtype = torch::kBFloat16;
  if (manifest.precision == "fp16") impl->cache_dtype = torch::kFloat16;
  if (manifest.precision == "int8") impl->cache_dtype = torch::kBFloat16;
  if (device.is_cpu()) impl->cache_dtype = torch::kFloat32;

  guarded(fmt::format("loading {}", bundle.string()), [&] {
    // The one global touched: profiling would recompile the program for every new shape.
    static std::once_flag once;
    std::call_once(once, [] { torch::jit::getProfilingMode() = false; });
    const c10::InferenceMode inference;
    std::istringstream stream(program);
    impl->program = torch::jit::load(stream, torch::Device(torch::kMeta));
    impl->program.eval();
    check_shapes(*impl, bundle);
    set_weights(*impl, bundle);
  });
  Model model(impl);
  if (options.self_test) model.self_test();
  return model;
}

const std::string& Model::name() const {
  return impl_->manifest.name;
}
const std::string& Model::digest() const {
  return impl_->digest;
}
const std::string& Model::manifest_json() const {
  return impl_->manifest_text;
}
std::string Model::device() const {
  return impl_->device.str();
}
std::int32_t Model::context() const {
  return static_cast<std::int32_t>(impl_->manifest.context);
}
bool Model::has_probe() const {
  return impl_->probe.has_value();
}
std::shared_ptr<const Tokenizer> Model::tokenizer() const {
  return impl_->tokenizer;
}

const std::string& Model::tokenizer_digest() const {
  return impl_->manifest.files.at(impl_->manifest.tokenizer_file).sha256;
}

MemoryEstimate Model::estimate(std::int64_t prompt_tokens, std::int64_t candidates, std::int64_t max_tokens) const {
  const Manifest& m = impl_->manifest;
  if (prompt_tokens < 0 || candidates < 0 || max_tokens < 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("estimate of {} prompt tokens and {} candidates of {} tokens: all must be 0 or more",
                            prompt_tokens, candidates, max_tokens));
  return estimate_memory(m, impl_->weight_bytes, torch::elementSize(impl_->cache_dtype), prompt_tokens, candidates,
                         max_tokens);
}

const Manifest& manifest(const Model& model) {
  return model.impl().manifest;
}
const ProbeSpec* probe(const Model& model) {
  return model.impl().probe ? &*model.impl().probe : nullptr;
}

}  // namespace gavel
