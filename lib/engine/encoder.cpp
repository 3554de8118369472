#include "engine/encoder.hpp"

#include <torch/script.h>

#include <algorithm>

#include "check_cancel.hpp"
#include "engine/estimate.hpp"
#include "engine/guard.hpp"
#include "engine/memory.hpp"
#include "engine/model_impl.hpp"

namespace gavel {
namespace {

using List = c10::List<std::int64_t>;

/// Sequences one after another, and where each begins.
struct Ragged {
  torch::Tensor tokens;
  List starts{0};
};

Ragged ragged(std::span<const Encoder::Tokens> sequences, const torch::Device& device) {
  Ragged out;
  std::int64_t total = 0;
  for (const auto& sequence : sequences) out.starts.push_back(total += static_cast<std::int64_t>(sequence.size()));
  torch::Tensor tokens = torch::empty({total}, torch::kInt64);
  auto* to = tokens.data_ptr<std::int64_t>();
  for (const auto& sequence : sequences) to = std::copy(sequence.begin(), sequence.end(), to);
  out.tokens = tokens.to(device);
  return out;
}

void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorCode::internal, std::string("engine: ") + what);
}

}  // namespace

class Encoder::Impl {
 public:
  explicit Impl(Model model) : model_(std::move(model)) { require(manifest().encodes(), "this model is no encoder"); }

  std::span<const float> classify(std::span<const Tokens> sequences, const Cancel& cancel) {
    return guarded("reading candidates", [&] {
      const c10::InferenceMode inference;
      std::vector<torch::Tensor> logits;
      passes(sequences, cancel, [&](std::span<const Tokens> some) {
        const Ragged batch = ragged(some, device());
        logits.push_back(run("classify", {batch.tokens, batch.starts}));
      });
      return floats(torch::cat(logits));
    });
  }

  void read(std::span<const Tokens> sequences, std::int64_t most, const Cancel& cancel) {
    require(manifest().start.has_value(), "this model has no decoder that writes");
    require(most > 0, "read for no token");
    const Manifest& m = manifest();
    std::int64_t total = 0;
    for (const Tokens& sequence : sequences) total += static_cast<std::int64_t>(sequence.size());
    const auto count = static_cast<std::int64_t>(sequences.size());
    if (device().is_cpu())  // memory is gathered from passes, and so held twice for a moment
      require_memory(
          static_cast<std::uint64_t>((2 * total + count * most) * 2 * m.decoder_layers * m.heads * m.head_dim) *
              sizeof(float),
          "the decoder's key/value cache");
    guarded("reading candidates", [&] {
      const c10::InferenceMode inference;
      std::vector<torch::Tensor> read;
      starts_ = ragged(sequences, device()).starts;
      passes(sequences, cancel, [&](std::span<const Tokens> some) {
        const Ragged batch = ragged(some, device());
        read.push_back(run("read", {batch.tokens, batch.starts}));
      });
      memory_ = read.size() == 1 ? read.front() : torch::cat(read, 1);
      own_ = torch::empty({m.decoder_layers, count, most, 2, m.heads, m.head_dim}, memory_.options());
      lengths_.assign(sequences.size(), 0);
    });
  }

  std::span<const float> step(std::span<const Next> next, const Cancel& cancel) {
    require(memory_.defined(), "step before read");
    check_cancel(cancel);
    return guarded("writing feedback", [&] {
      const c10::InferenceMode inference;
      torch::Tensor tokens = torch::empty({static_cast<std::int64_t>(next.size())}, torch::kInt64);
      List slots, lengths;
      for (std::size_t i = 0; i < next.size(); ++i) {
        auto& length = lengths_.at(static_cast<std::size_t>(next[i].sequence));
        require(length < own_.size(2), "a sequence is longer than was asked for");
        tokens.data_ptr<std::int64_t>()[i] = next[i].token;
        slots.push_back(next[i].sequence);
        lengths.push_back(length++);
      }
      return floats(run("step", {tokens.to(device()), slots, lengths, own_, memory_, starts_}));
    });
  }

 private:
  [[nodiscard]] const Manifest& manifest() const { return model_.impl().manifest; }
  [[nodiscard]] const torch::Device& device() const { return model_.impl().device; }

  torch::Tensor run(const char* method, std::vector<c10::IValue> inputs) const {
    return model_.impl().program.get_method(method)(std::move(inputs)).toTensor();
  }

  /// Visits the sequences in groups of about `chunk_tokens`, at least one at a time.
  template <class Visit>
  void passes(std::span<const Tokens> sequences, const Cancel& cancel, const Visit& visit) const {
    require(!sequences.empty(), "no sequence");
    std::size_t longest = 0;
    for (const Tokens& sequence : sequences) {
      require(!sequence.empty(), "a sequence of no token");
      require(static_cast<std::int64_t>(sequence.size()) <= manifest().context, "a sequence beyond the context");
      longest = std::max(longest, sequence.size());
    }
    if (device().is_cpu()) require_memory(encoder_scratch(manifest(), static_cast<std::int64_t>(longest)), "one pass");
    for (std::size_t begin = 0, end = 0; begin < sequences.size(); begin = end) {
      check_cancel(cancel);
      std::size_t tokens = sequences[end++].size();
      while (end < sequences.size() && tokens + sequences[end].size() <= static_cast<std::size_t>(chunk_tokens))
        tokens += sequences[end++].size();
      visit(sequences.subspan(begin, end - begin));
    }
  }

  std::span<const float> floats(const torch::Tensor& tensor) {
    logits_ = tensor.to(torch::kCPU, torch::kFloat32).contiguous();
    return {logits_.const_data_ptr<float>(), static_cast<std::size_t>(logits_.numel())};
  }

  Model model_;
  List starts_;
  std::vector<std::int64_t> lengths_;
  torch::Tensor memory_, own_, logits_;
};

Encoder::Encoder(Model model) : impl_(std::make_unique<Impl>(std::move(model))) {}
Encoder::~Encoder() = default;
std::span<const float> Encoder::classify(std::span<const Tokens> sequences, const Cancel& cancel) {
  return impl_->classify(sequences, cancel);
}
void Encoder::read(std::span<const Tokens> sequences, std::int64_t most, const Cancel& cancel) {
  impl_->read(sequences, most, cancel);
}
std::span<const float> Encoder::step(std::span<const Next> next, const Cancel& cancel) {
  return impl_->step(next, cancel);
}

}  // namespace gavel
