#include <ATen/ATen.h>

#include "engine/ops.hpp"

namespace gavel::ops::composed {
namespace {

/// Softmax attention of q [.., R, D] over k, v [.., C, D]: the weighted sum and its log-sum-exp, in float32. Keys where
/// `hidden` (where it is defined) are not seen; a row that sees none has a sum of 0 and a log-sum-exp of -inf.
std::pair<Tensor, Tensor> attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& hidden,
                                    double softcap) {
  Tensor scores = at::matmul(q, k.transpose(-1, -2)).to(at::kFloat);
  if (softcap > 0) scores = at::tanh(scores / softcap) * softcap;
  if (hidden.defined()) scores = scores.masked_fill(hidden, -std::numeric_limits<float>::infinity());
  const Tensor lse = at::logsumexp(scores, -1);
  const Tensor weights = at::exp(scores - lse.clamp_min(-1e30).unsqueeze(-1));
  return {at::matmul(weights.to(v.scalar_type()), v).to(at::kFloat), lse};
}

/// The first 2 * cos.size(-1) numbers of each head; the rest stays.
Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const int64_t half = cos.size(-1);
  const Tensor a = x.slice(-1, 0, half), b = x.slice(-1, half, 2 * half);
  return at::cat({a * cos - b * sin, b * cos + a * sin, x.slice(-1, 2 * half)}, -1);
}

}  // namespace

Tensor untile(const Tensor& weight, int64_t outputs, int64_t inputs) {
  const int64_t blocks = weight.size(0), steps = weight.size(1);
  return weight.permute({0, 2, 1, 3}).reshape({blocks * 16, steps * 4}).slice(0, 0, outputs).slice(1, 0, inputs);
}

Tensor linear_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias) {
  const int64_t inputs = x.size(-1), outputs = scale.size(0);
  const Tensor input = x.to(at::kFloat).reshape({-1, inputs});
  const Tensor plain = weight.dim() == 4 ? untile(weight, outputs, inputs) : weight;
  const Tensor row_scale = input.abs().amax(-1, true) / 127.0;
  Tensor q = at::round(input / row_scale.clamp_min(1e-30)).to(at::kChar);
  const int64_t rows = q.size(0), padded = std::max<int64_t>(32, (rows + 7) / 8 * 8);  // cuBLASLt's smallest product
  if (q.is_cuda()) q = at::constant_pad_nd(q, {0, 0, 0, padded - rows});
  const Tensor sums =
      q.is_cuda() ? at::_int_mm(q, plain.t()).slice(0, 0, rows) : at::matmul(q.to(at::kInt), plain.t().to(at::kInt));
  Tensor y = sums.to(at::kFloat) * (row_scale * scale);
  if (bias) y = y + *bias;
  auto sizes = x.sizes().vec();
  sizes.back() = outputs;
  return y.reshape(sizes);
}

Tensor gated_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias) {
  return silu_mul(linear_int8(x, weight, scale, bias));
}

Tensor rows_int8(const Tensor& weight, const Tensor& scale, const Tensor& rows, int64_t inputs) {
  const Tensor plain = weight.dim() == 4 ? untile(weight, scale.size(0), inputs) : weight;
  return plain.index_select(0, rows).to(at::kFloat) * scale.index_select(0, rows).unsqueeze(-1);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor input = x.to(at::kFloat);
  return input * at::rsqrt(input.square().mean(-1, true) + eps) * weight;
}

Tensor silu_mul(const Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

Tensor gelu(const Tensor& x) {
  return at::gelu(x, "tanh");
}

Tensor gelu_mul(const Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::gelu(halves[0], "tanh") * halves[1];
}

Tensor head_norm(const Tensor& qkv, const Tensor& weight, int64_t heads, int64_t kv_heads, double eps) {
  const int64_t dim = weight.size(1);
  const Tensor parts = qkv.to(at::kFloat).reshape({qkv.size(0), heads + 2 * kv_heads, dim});
  return at::cat({rms_norm(parts.slice(1, 0, heads), weight[0], eps),
                  rms_norm(parts.slice(1, heads, heads + kv_heads), weight[1], eps), parts.slice(1, heads + kv_heads)},
                 1)
      .reshape(qkv.sizes());
}

Tensor attend(const Tensor& qkv, const Tensor& cos, const Tensor& sin, const Tensor& slots, const Tensor& starts,
              const Tensor& lengths, int64_t prefix_length, const Tensor& prefix_keys, const Tensor& prefix_values,
              const Tensor& own_keys, const Tensor& own_values, int64_t layer, int64_t heads, int64_t kv_heads,
              double scale, double softcap, int64_t window) {
  const int64_t tokens = qkv.size(0), dim = qkv.size(1) / (heads + 2 * kv_heads), group = heads / kv_heads;
  const int64_t sequences = slots.size(0);
  const auto device = qkv.device();
  const auto dtype = own_keys.scalar_type();
  const auto start = starts.accessor<int64_t, 1>();
  int64_t longest = 0, reach = 0;
  Tensor sequence_cpu = at::empty({tokens}, at::kLong), offset_cpu = at::empty({tokens}, at::kLong);
  for (int64_t b = 0; b < sequences; ++b) {
    longest = std::max(longest, start[b + 1] - start[b]);
    reach = std::max(reach, lengths[b].item<int64_t>() + start[b + 1] - start[b]);
    for (int64_t t = start[b]; t < start[b + 1]; ++t) {
      sequence_cpu[t] = b;
      offset_cpu[t] = t - start[b];
    }
  }
  TORCH_CHECK(reach <= own_keys.size(3), "gavel::attend: a cache of ", own_keys.size(3), " tokens cannot take ", reach);
  const Tensor sequence = sequence_cpu.to(device), offset = offset_cpu.to(device);
  const Tensor slot = slots.to(device), length = lengths.to(device);

  const Tensor parts = qkv.to(at::kFloat).reshape({tokens, heads + 2 * kv_heads, dim});
  const Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1);
  const Tensor query = (rotate(parts.slice(1, 0, heads), c, s) * scale).to(dtype);
  const Tensor position = length.index_select(0, sequence) + offset, place = slot.index_select(0, sequence);
  Tensor keys = own_keys.select(0, layer), values = own_values.select(0, layer);  // [S, Kv, C, D]
  using at::indexing::Slice;
  keys.index_put_({place, Slice(), position}, rotate(parts.slice(1, heads, heads + kv_heads), c, s).to(dtype));
  values.index_put_({place, Slice(), position}, parts.slice(1, heads + kv_heads).to(dtype));

  // Own tokens: each sequence's new tokens padded to the longest, [B, Kv, longest * group, D].
  Tensor padded = at::zeros({sequences, longest, heads, dim}, query.options());
  padded.index_put_({sequence, offset}, query);
  padded = padded.reshape({sequences, longest, kv_heads, group, dim}).permute({0, 2, 1, 3, 4});
  padded = padded.reshape({sequences, kv_heads, longest * group, dim});
  const Tensor seen = length.unsqueeze(1) + at::arange(1, longest + 1, length.options()).unsqueeze(0);  // [B, longest]
  const Tensor key = at::arange(reach, length.options()).reshape({1, 1, reach});
  Tensor hidden = key.ge(seen.unsqueeze(-1));  // [B, longest, reach]
  if (window > 0) hidden = hidden.logical_or(key.lt(seen.unsqueeze(-1) - window));
  auto [own, own_lse] =
      attention(padded, keys.index_select(0, slot).slice(2, 0, reach), values.index_select(0, slot).slice(2, 0, reach),
                hidden.repeat_interleave(group, 1).unsqueeze(1), softcap);
  const auto gather = [&](const Tensor& x) {  // [B, Kv, longest * group, W] -> [T, heads, W]
    return x.reshape({sequences, kv_heads, longest, group, -1})
        .permute({0, 2, 1, 3, 4})
        .reshape({sequences, longest, heads, -1})
        .index({sequence, offset});
  };
  Tensor out = gather(own);
  if (prefix_length > 0) {  // once for all sequences: the batch is folded into the query's rows
    const Tensor folded =
        query.reshape({tokens, kv_heads, group, dim}).permute({1, 0, 2, 3}).reshape({kv_heads, tokens * group, dim});
    Tensor passed;  // [tokens * group, prefix_length], where the window has moved on
    if (window > 0)
      passed = at::arange(prefix_length, length.options())
                   .unsqueeze(0)
                   .lt((position + 1 + prefix_length - window).unsqueeze(1))
                   .repeat_interleave(group, 0);
    auto [shared, shared_lse] =
        attention(folded, prefix_keys.select(0, layer)[0].slice(1, 0, prefix_length),
                  prefix_values.select(0, layer)[0].slice(1, 0, prefix_length), passed, softcap);
    const auto unfold = [&](const Tensor& x) {
      return x.reshape({kv_heads, tokens, group, -1}).permute({1, 0, 2, 3}).reshape({tokens, heads, -1});
    };
    const Tensor weight = at::sigmoid(unfold(shared_lse) - gather(own_lse));  // e^a / (e^a + e^b)
    out = unfold(shared) * weight + out * (1 - weight);
  }
  return out.reshape({tokens, heads * dim});
}

Tensor pool(const Tensor& x, const Tensor& starts) {
  std::vector<Tensor> sums;
  const auto start = starts.accessor<int64_t, 1>();
  for (int64_t b = 0; b + 1 < starts.size(0); ++b) sums.push_back(x.slice(0, start[b], start[b + 1]).sum(0));
  return at::stack(sums).to(at::kFloat);
}

}  // namespace gavel::ops::composed
