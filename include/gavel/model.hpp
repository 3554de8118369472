#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gavel {

class Tokenizer;

/// What to check and where to put the weights when a bundle is opened.
struct OpenOptions {
  std::string device = "cpu";   ///< "cpu", "cuda" or "cuda:N"
  std::string pin;              ///< expected digest() of the model (64 hex digits), or empty
  bool verify_weights = false;  ///< hash the weights too (seconds); program and tokenizer are always hashed
  bool self_test = false;       ///< run the bundle's self-test and fail closed with corrupt_bundle
};

/// Memory a session will need, in bytes; stated before anything is allocated.
struct MemoryEstimate {
  std::uint64_t weights = 0;  ///< mapped or resident weights
  std::uint64_t prefix = 0;   ///< keys and values of the shared prompt
  std::uint64_t own = 0;      ///< keys and values of all candidates
  std::uint64_t scratch = 0;  ///< the largest step's activations and logits
  [[nodiscard]] std::uint64_t total() const { return weights + prefix + own + scratch; }
};

/// A loaded bundle: manifest, tokenizer, program and weights on a device. Immutable and shared: copies are cheap, and
/// any number of generators and judges, in any threads, may use one. Freed with its last copy.
class Model {
 public:
  /// Opens a bundle folder. Throws not_found, corrupt_bundle (with what was found and expected), unsupported, device
  /// or out_of_memory. Nothing reaches torch before the manifest is validated and the hashes are checked.
  /// An adapter's folder, BUNDLE/adapters/NAME, opens its bundle and gives `adapted(NAME)`.
  [[nodiscard]] static Model open(const std::filesystem::path& bundle, const OpenOptions& options = {});

  /// This model with a LoRA adapter (Hu et al., arXiv 2106.09685) that `gavel adapt` put into its bundle, by name; or
  /// of a folder elsewhere, given as a path with a separator in it. It shares this model's weights, on the device too,
  /// and its tokenizer, and adds B (A x) to the products of its linear layers in float32; its judge is the adapter's.
  /// It has no probe, since one is fitted on states that the adapter changes. This model stays as it is.
  ///
  /// Throws not_found, corrupt_bundle where a file was altered or holds what the model has no place for, and
  /// invalid_argument where the adapter was made for another model or this model is adapted already.
  [[nodiscard]] Model adapted(const std::filesystem::path& name_or_folder) const;

  /// Adapters that the bundle's folder held when it was opened, sorted by name.
  [[nodiscard]] const std::vector<std::string>& adapters() const;

  [[nodiscard]] const std::string& name() const;    ///< the bundle's; BUNDLE+ADAPTER where adapted
  [[nodiscard]] const std::string& digest() const;  ///< SHA-256 of gavel.json, or adapter.json where adapted, hex
  [[nodiscard]] const std::string& manifest_json() const;  ///< gavel.json, with adapter.json's parts where adapted
  [[nodiscard]] std::string device() const;                ///< "cpu" or "cuda:N"
  [[nodiscard]] std::int32_t context() const;              ///< longest prompt plus candidate, in tokens
  [[nodiscard]] bool has_probe() const;
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer() const;
  [[nodiscard]] const std::string& tokenizer_digest() const;  ///< SHA-256 of the tokenizer file, hex

  /// What `candidates` continuations of up to `max_tokens` after a prompt of `prompt_tokens` will take. An encoder
  /// holds no keys and values: one pass over prompt and candidate is `scratch`.
  [[nodiscard]] MemoryEstimate estimate(std::int64_t prompt_tokens, std::int64_t candidates,
                                        std::int64_t max_tokens) const;

  /// Runs the bundle's self-test; throws corrupt_bundle naming the prompt and the largest difference.
  void self_test() const;

  class Impl;
  explicit Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace gavel
