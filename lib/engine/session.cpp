#include "engine/session.hpp"

#include <torch/script.h>

#include <algorithm>
#include <tuple>

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

  /// The same, each token as a sequence of its own in the same slot: attention writes the keys of the whole batch
  /// before it reads any, so that each sees those before it, and the program pools each alone.
  void add_each(std::int64_t slot, std::span<const std::int32_t> more, std::int64_t offset, std::int64_t length) {
    for (std::size_t i = 0; i < more.size(); ++i) add(slot, more.subspan(i, 1), offset, length++);
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
    own_sets_.assign(lengths_.size(), 0);
    own_tokens_.resize(lengths_.size());
  }

  void prefill(std::span<const std::int32_t> tokens, const Cancel& cancel) {
    require(!tokens.empty(), "prefill of no token");
    require(static_cast<std::int64_t>(tokens.size()) <= limits_.prefix, "prefill is longer than the session's prefix");
    prefix_tokens_.assign(tokens.begin(), tokens.end());
    restart();
    hidden_ = read_prefix(rope_set(static_cast<std::int64_t>(tokens.size())), cancel);
    tapped_ = torch::Tensor();
  }

  void restart() {
    std::fill(lengths_.begin(), lengths_.end(), 0);
    for (auto& tokens : own_tokens_) tokens.clear();
  }

  void extend(std::span<const Append> appends, const Cancel& cancel, Tapped tapped) {
    require(prefix_length_ > 0, "extend before prefill");
    for (const Append& append : appends) {
      require(append.slot >= 0 && append.slot < limits_.sequences, "extend names a sequence that is not there");
      require(!append.tokens.empty(), "extend by no token");
      require(length_after(append) <= limits_.own, "a sequence is longer than the session's own limit");
    }
    if (model_.impl().manifest.rope_switch == 0)
      std::tie(hidden_, tapped_) = read_own(appends, 0, taps_, tapped, cancel);
    else
      extend_by_rope_set(appends, tapped, cancel);
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

  [[nodiscard]] std::int64_t length_after(const Append& append) const {
    return lengths_[static_cast<std::size_t>(append.slot)] + static_cast<std::int64_t>(append.tokens.size());
  }

  /// Which set of rotary frequencies a sequence of so many tokens is read with.
  [[nodiscard]] std::int64_t rope_set(std::int64_t tokens) const {
    const std::int64_t most = model_.impl().manifest.rope_switch;
    return most > 0 && tokens > most ? 1 : 0;
  }

  /// Reads the prefix into its cache; the state of its last token.
  torch::Tensor read_prefix(std::int64_t set, const Cancel& cancel) {
    prefix_length_ = 0;
    prefix_set_ = set;
    torch::Tensor hidden;
    guarded("reading the prompt", [&] {
      const c10::InferenceMode inference;
      const std::span<const std::int32_t> tokens = prefix_tokens_;
      for (std::int64_t done = 0; done < static_cast<std::int64_t>(tokens.size());) {
        check_cancel(cancel);
        const auto some = tokens.subspan(static_cast<std::size_t>(done))
                              .first(static_cast<std::size_t>(
                                  std::min(chunk_tokens, static_cast<std::int64_t>(tokens.size()) - done)));
        Batch batch;
        batch.add(0, some, 0, done);
        batch.asked.push_back(batch.starts.back() - 1);
        hidden = forward(batch, set, 0, prefix_keys_, prefix_values_, {}).first;
        done += static_cast<std::int64_t>(some.size());
      }
    });
    prefix_length_ = static_cast<std::int64_t>(prefix_tokens_.size());
    return hidden;
  }

  /// How many rows of `tapped` speak of a sequence.
  static std::int64_t rows_of(const Append& append, Tapped tapped) {
    return tapped == Tapped::tokens ? static_cast<std::int64_t>(append.tokens.size()) : 1;
  }

  /// Appends to the sequences' own caches; the states of their last tokens, and what is tapped.
  std::pair<torch::Tensor, torch::Tensor> read_own(std::span<const Append> appends, std::int64_t set,
                                                   const std::vector<std::int64_t>& taps, Tapped wanted,
                                                   const Cancel& cancel) {
    std::vector<torch::Tensor> hidden;
    torch::Tensor tapped;
    guarded("reading candidates", [&] {
      const c10::InferenceMode inference;
      std::int64_t rows = 0, row = 0;
      for (const Append& append : appends) rows += rows_of(append, wanted);
      if (!taps.empty())
        tapped = torch::zeros({static_cast<std::int64_t>(taps.size()), rows, model_.impl().manifest.hidden});
      std::size_t next = 0, offset = 0;  // the first append not wholly read, and how much of it is
      while (next < appends.size()) {
        check_cancel(cancel);
        Batch batch;
        std::vector<std::int64_t> members;
        for (std::int64_t room = chunk_tokens; room > 0 && next < appends.size();) {
          const auto rest = appends[next].tokens.subspan(offset);
          const auto some = rest.first(std::min(rest.size(), static_cast<std::size_t>(room)));
          std::int64_t& length = lengths_[static_cast<std::size_t>(appends[next].slot)];
          if (wanted == Tapped::tokens) {
            batch.add_each(appends[next].slot, some, prefix_length_, length);
            for (std::size_t i = 0; i < some.size(); ++i) members.push_back(row++);
          } else {
            batch.add(appends[next].slot, some, prefix_length_, length);
            members.push_back(static_cast<std::int64_t>(next));
          }
          length += static_cast<std::int64_t>(some.size());
          room -= static_cast<std::int64_t>(some.size());
          if (some.size() == rest.size()) {
            batch.asked.push_back(batch.starts.back() - 1);
            ++next;
            offset = 0;
          } else {
            offset += some.size();
          }
        }
        auto [states, sums] = forward(batch, set, prefix_length_, own_keys_, own_values_, taps);
        if (states.size(0) > 0) hidden.push_back(states);
        if (!taps.empty()) tapped.index_add_(1, indices(members), sums.to(torch::kCPU));
      }
      if (hidden.size() > 1) hidden = {torch::cat(hidden)};
    });
    return {hidden.front(), tapped};
  }

  /// The same where a sequence changes its rotary frequencies when it becomes longer than the switch: all that its
  /// caches hold is then read anew, the shared prefix too. Sequences that are written together cross it together, so
  /// this happens once.
  void extend_by_rope_set(std::span<const Append> appends, Tapped wanted, const Cancel& cancel) {
    std::vector<std::int64_t> order, rows;  // of the sequences, and of the rows tapped
    std::vector<torch::Tensor> hidden, tapped;
    for (const std::int64_t set : {prefix_set_, 1 - prefix_set_}) {
      std::vector<Append> members, again;
      std::int64_t row = 0, next_row = 0;
      for (std::size_t i = 0; i < appends.size(); ++i, row = next_row) {
        next_row = row + rows_of(appends[i], wanted);
        if (rope_set(prefix_length_ + length_after(appends[i])) != set) continue;
        for (std::int64_t r = row; r < next_row; ++r) rows.push_back(r);
        order.push_back(static_cast<std::int64_t>(i));
        members.push_back(appends[i]);
        const auto slot = static_cast<std::size_t>(appends[i].slot);
        if (own_sets_[slot] != set && lengths_[slot] > 0) {
          again.push_back({appends[i].slot, own_tokens_[slot]});
          lengths_[slot] = 0;
        }
        own_sets_[slot] = set;
      }
      if (members.empty()) continue;
      if (prefix_set_ != set) read_prefix(set, cancel);
      if (!again.empty()) read_own(again, set, {}, Tapped::sums, cancel);
      auto [states, sums] = read_own(members, set, taps_, wanted, cancel);
      hidden.push_back(states);
      if (!taps_.empty()) tapped.push_back(sums);
      for (const Append& append : members) {
        auto& tokens = own_tokens_[static_cast<std::size_t>(append.slot)];
        tokens.insert(tokens.end(), append.tokens.begin(), append.tokens.end());
      }
    }
    const c10::InferenceMode inference;
    hidden_ = torch::cat(hidden).index_select(0, indices(order).argsort().to(model_.impl().device));
    tapped_ = taps_.empty() ? torch::Tensor() : torch::cat(tapped, 1).index_select(1, indices(rows).argsort());
  }

  std::pair<torch::Tensor, torch::Tensor> forward(const Batch& batch, std::int64_t rope_set, std::int64_t prefix_length,
                                                  const torch::Tensor& keys, const torch::Tensor& values,
                                                  const std::vector<std::int64_t>& taps) {
    const auto& device = model_.impl().device;
    const auto out = model_.impl()
                         .program
                         .get_method("forward")({indices(batch.tokens).to(device), indices(batch.positions).to(device),
                                                 indices(batch.slots), indices(batch.starts), indices(batch.lengths),
                                                 indices(batch.asked).to(device), rope_set, prefix_length, prefix_keys_,
                                                 prefix_values_, keys, values, c10::List<std::int64_t>(taps)})
                         .toTuple();
    return {out->elements()[0].toTensor(), out->elements()[1].toTensor()};
  }

  Model model_;
  Limits limits_;
  std::vector<std::int64_t> taps_, lengths_, own_sets_;
  std::int64_t prefix_length_ = 0, prefix_set_ = 0;
  std::vector<std::int32_t> prefix_tokens_;
  std::vector<std::vector<std::int32_t>> own_tokens_;  // kept where the rotary frequencies may change
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
void Session::extend(std::span<const Append> appends, const Cancel& cancel, Tapped tapped) {
  impl_->extend(appends, cancel, tapped);
}
std::span<const float> Session::logits(std::span<const std::int64_t> rows) {
  return impl_->logits(rows);
}
std::span<const float> Session::tapped() const {
  return impl_->tapped();
}

}  // namespace gavel
