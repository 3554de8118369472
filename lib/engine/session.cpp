#include "engine/session.hpp"

#include <torch/script.h>

#include <algorithm>

#include "check_cancel.hpp"
#include "engine/estimate.hpp"
#include "engine/guard.hpp"
#include "engine/memory.hpp"
#include "engine/model_impl.hpp"

namespace gavel {
namespace {

torch::Tensor indices(std::span<const std::int64_t> values) {
  torch::Tensor tensor = torch::empty({static_cast<std::int64_t>(values.size())}, torch::kInt64);
  std::copy(values.begin(), values.end(), tensor.data_ptr<std::int64_t>());
  return tensor;
}

/// The tokens of one forward pass, sequence after sequence.
struct Batch {
  std::vector<std::int64_t> tokens, positions, slots, starts{0}, lengths, asked;

  void add(std::int64_t slot, std::span<const std::int32_t> more, std::int64_t offset, std::int64_t length) {
    slots.push_back(slot);
    lengths.push_back(length);
    for (const std::int32_t token : more) {
      positions.push_back(offset + length++);
      tokens.push_back(token);
    }
    starts.push_back(static_cast<std::int64_t>(tokens.size()));
  }
};

}  // namespace

class Session::Impl {
 public:
  Impl(Model model, const Limits& limits, std::vector<std::int64_t> taps)
      : model_(std::move(model)), limits_(limits), taps_(std::move(taps)) {
    const Manifest& m = model_.impl().manifest;
    const MemoryEstimate memory = model_.estimate(limits.prefix, limits.sequences, limits.own);
    if (model_.impl().device.is_cpu())
      require_memory(memory.prefix + memory.own + memory.scratch, "the key/value cache and one step's activations");
    guarded("allocating the key/value cache", [&] {
      const c10::InferenceMode inference;
      const auto options = torch::dtype(model_.impl().cache_dtype).device(model_.impl().device);
      const auto cache = [&](std::int64_t sequences, std::int64_t tokens) {
        return torch::empty({m.layers, sequences, m.kv_heads, cache_tokens(tokens), m.head_dim}, options);
      };
      prefix_keys_ = cache(1, limits.prefix);
      prefix_values_ = cache(1, limits.prefix);
      own_keys_ = cache(limits.sequences, limits.own);
      own_values_ = cache(limits.sequences, limits.own);
    });
    lengths_.assign(static_cast<std::size_t>(limits.sequences), 0);
  }

  void prefill(std::span<const std::int32_t> tokens, const Cancel& cancel) {
    require(!tokens.empty(), "prefill of no token");
    require(static_cast<std::int64_t>(tokens.size()) <= limits_.prefix, "prefill is longer than the session's prefix");
    prefix_length_ = 0;
    restart();
    guarded("reading the prompt", [&] {
      const c10::InferenceMode inference;
      for (std::int64_t done = 0; done < static_cast<std::int64_t>(tokens.size());) {
        check_cancel(cancel);
        const auto some = tokens.subspan(static_cast<std::size_t>(done))
                              .first(static_cast<std::size_t>(
                                  std::min(chunk_tokens, static_cast<std::int64_t>(tokens.size()) - done)));
        Batch batch;
        batch.add(0, some, 0, done);
        batch.asked.push_back(batch.starts.back() - 1);
        hidden_ = forward(batch, 0, prefix_keys_, prefix_values_, {}).first;
        done += static_cast<std::int64_t>(some.size());
      }
      tapped_ = torch::Tensor();
    });
    prefix_length_ = static_cast<std::int64_t>(tokens.size());
  }

  void restart() { std::fill(lengths_.begin(), lengths_.end(), 0); }

  void extend(std::span<const Append> appends, const Cancel& cancel) {
    require(prefix_length_ > 0, "extend before prefill");
    for (const Append& append : appends) {
      require(append.slot >= 0 && append.slot < limits_.sequences, "extend names a sequence that is not there");
      require(!append.tokens.empty(), "extend by no token");
      require(lengths_[static_cast<std::size_t>(append.slot)] + static_cast<std::int64_t>(append.tokens.size()) <=
                  limits_.own,
              "a sequence is longer than the session's own limit");
    }
    guarded("reading candidates", [&] {
      const c10::InferenceMode inference;
      const auto count = static_cast<std::int64_t>(appends.size());
      std::vector<torch::Tensor> hidden;
      torch::Tensor tapped;
      if (!taps_.empty())
        tapped = torch::zeros({static_cast<std::int64_t>(taps_.size()), count, model_.impl().manifest.hidden});
      std::size_t next = 0, offset = 0;  // the first append not wholly read, and how much of it is
      while (next < appends.size()) {
        check_cancel(cancel);
        Batch batch;
        std::vector<std::int64_t> members;
        for (std::int64_t room = chunk_tokens; room > 0 && next < appends.size();) {
          const auto rest = appends[next].tokens.subspan(offset);
          const auto some = rest.first(std::min(rest.size(), static_cast<std::size_t>(room)));
          std::int64_t& length = lengths_[static_cast<std::size_t>(appends[next].slot)];
          batch.add(appends[next].slot, some, prefix_length_, length);
          length += static_cast<std::int64_t>(some.size());
          room -= static_cast<std::int64_t>(some.size());
          members.push_back(static_cast<std::int64_t>(next));
          if (some.size() == rest.size()) {
            batch.asked.push_back(batch.starts.back() - 1);
            ++next;
            offset = 0;
          } else {
            offset += some.size();
          }
        }
        auto [states, sums] = forward(batch, prefix_length_, own_keys_, own_values_, taps_);
        if (states.size(0) > 0) hidden.push_back(states);
        if (!taps_.empty()) tapped.index_add_(1, indices(members), sums.to(torch::kCPU));
      }
      hidden_ = hidden.size() == 1 ? hidden.front() : torch::cat(hidden);
      tapped_ = tapped;
    });
  }

  std::span<const float> logits(std::span<const std::int64_t> rows) {
    require(hidden_.defined(), "logits before prefill");
    return guarded("the vocabulary head", [&] {
      const c10::InferenceMode inference;
      c10::IValue wanted;
      if (!rows.empty()) wanted = indices(rows).to(model_.impl().device);
      torch::Tensor values = model_.impl().program.get_method("head")({hidden_, wanted}).toTensor();
      logits_ = values.to(torch::kCPU, torch::kFloat32).contiguous();
      return floats(logits_);
    });
  }

  std::span<const float> tapped() const { return tapped_.defined() ? floats(tapped_) : std::span<const float>{}; }

 private:
  static void require(bool condition, const char* what) {
    if (!condition) throw Error(ErrorCode::internal, std::string("engine: ") + what);
  }

  static std::span<const float> floats(const torch::Tensor& tensor) {
    return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
  }

  std::pair<torch::Tensor, torch::Tensor> forward(const Batch& batch, std::int64_t prefix_length,
                                                  const torch::Tensor& keys, const torch::Tensor& values,
                                                  const std::vector<std::int64_t>& taps) {
    const auto& device = model_.impl().device;
    const auto out = model_.impl()
                         .program
                         .get_method("forward")({indices(batch.tokens).to(device), indices(batch.positions).to(device),
                                                 indices(batch.slots), indices(batch.starts), indices(batch.lengths),
                                                 indices(batch.asked).to(device), prefix_length, prefix_keys_,
                                                 prefix_values_, keys, values, c10::List<std::int64_t>(taps)})
                         .toTuple();
    return {out->elements()[0].toTensor(), out->elements()[1].toTensor()};
  }

  Model model_;
  Limits limits_;
  std::vector<std::int64_t> taps_, lengths_;
  std::int64_t prefix_length_ = 0;
  torch::Tensor prefix_keys_, prefix_values_, own_keys_, own_values_, hidden_, logits_, tapped_;
};

Session::Session(Model model, const Limits& limits, std::vector<std::int64_t> taps)
    : impl_(std::make_unique<Impl>(std::move(model), limits, std::move(taps))) {}
Session::~Session() = default;
void Session::prefill(std::span<const std::int32_t> tokens, const Cancel& cancel) {
  impl_->prefill(tokens, cancel);
}
void Session::restart() {
  impl_->restart();
}
void Session::extend(std::span<const Append> appends, const Cancel& cancel) {
  impl_->extend(appends, cancel);
}
std::span<const float> Session::logits(std::span<const std::int64_t> rows) {
  return impl_->logits(rows);
}
std::span<const float> Session::tapped() const {
  return impl_->tapped();
}

}  // namespace gavel
