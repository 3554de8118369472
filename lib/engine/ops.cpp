#include "engine/ops.hpp"

#include <ATen/Parallel.h>

#include <atomic>
#include <vector>

#include "engine/kernels/kernels.hpp"

namespace gavel::ops {
namespace {

constexpr int64_t small_rows = 16;  // below this a second thread costs more than it brings

/// Runs `work` for rows [0, rows) in two or more threads where there are enough of them.
template <class Work>
void over_rows(int64_t rows, const Work& work) {
  if (rows < small_rows)
    work(0, rows);
  else
    at::parallel_for(0, rows, small_rows / 2, work);
}

/// Runs `work(unit, thread)` for units [0, count), which the threads take one by one.
template <class Work>
void over_units(int64_t count, const Work& work) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), count), 1, [&](int64_t first, int64_t last) {
    for (int64_t thread = first; thread < last; ++thread)
      for (int64_t unit = next++; unit < count; unit = next++) work(unit, thread);
  });
}

Tensor contiguous_float(const Tensor& x) {
  return x.to(at::kFloat).contiguous();
}

/// Where each of T tokens goes: its sequence's slot, and how many own tokens it sees.
struct Places {
  std::vector<int64_t> slot, limit;
};

Places places(const Tensor& slots, const Tensor& starts, const Tensor& lengths, int64_t tokens, int64_t capacity) {
  Places p;
  p.slot.resize(static_cast<size_t>(tokens));
  p.limit.resize(static_cast<size_t>(tokens));
  const auto slot = slots.accessor<int64_t, 1>(), start = starts.accessor<int64_t, 1>(),
             length = lengths.accessor<int64_t, 1>();
  TORCH_CHECK(start[slots.size(0)] == tokens, "gavel::attend: starts end at ", start[slots.size(0)], ", tokens are ",
              tokens);
  for (int64_t b = 0; b < slots.size(0); ++b)
    for (int64_t t = start[b]; t < start[b + 1]; ++t) {
      p.slot[static_cast<size_t>(t)] = slot[b];
      p.limit[static_cast<size_t>(t)] = length[b] + t - start[b] + 1;
      TORCH_CHECK(p.limit[static_cast<size_t>(t)] <= capacity, "gavel::attend: a cache of ", capacity,
                  " tokens cannot take more");
    }
  return p;
}

/// (a, b) rotated by each angle: the first half of what is rotated with the second, as the families here do. What lies
/// behind it in the head stays.
void rotate(const float* in, const float* cos, const float* sin, int64_t half, int64_t dim, float scale, float* out,
            int64_t stride) {
  for (int64_t i = 0; i < half; ++i) {
    out[i * stride] = (in[i] * cos[i] - in[i + half] * sin[i]) * scale;
    out[(i + half) * stride] = (in[i + half] * cos[i] + in[i] * sin[i]) * scale;
  }
  for (int64_t i = 2 * half; i < dim; ++i) out[i * stride] = in[i] * scale;
}

using Product = void (*)(const kernels::Int8Matrix&, const kernels::Int8Rows&, int64_t, int64_t, float*);

/// Quantises x [..., K] and multiplies it, `count` blocks of weights in all, into float32 [..., width].
Tensor multiply(const Tensor& x, const kernels::Int8Matrix& matrix, Product product, int64_t count, int64_t width) {
  const Tensor input = contiguous_float(x);
  const int64_t inputs = matrix.inputs, rows = input.numel() / inputs, padded = matrix.padded_inputs();
  const Tensor q = at::empty({(rows + 31) / 32 * 32, padded}, at::kChar);
  const Tensor scale = at::empty({rows}, at::kFloat), sum = at::empty({rows}, at::kInt);
  const kernels::Int8Rows quantised{q.data_ptr<int8_t>(), scale.data_ptr<float>(), sum.data_ptr<int32_t>(), rows,
                                    padded};
  auto sizes = input.sizes().vec();
  sizes.back() = width;
  Tensor out = at::empty(sizes, at::kFloat);
  const float* from = input.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  over_rows(rows, [&](int64_t first, int64_t last) {
    kernels::Int8Rows part = quantised.from(first);
    part.rows = last - first;
    kernels::kernels().quantize(from + first * inputs, inputs, part);
  });
  at::parallel_for(0, count, 4, [&](int64_t first, int64_t last) { product(matrix, quantised, first, last, to); });
  return out;
}

kernels::Int8Matrix matrix_of(const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias,
                              int64_t inputs) {
  const kernels::Int8Matrix matrix{weight.const_data_ptr<int8_t>(), scale.const_data_ptr<float>(),
                                   bias ? bias->const_data_ptr<float>() : nullptr, scale.size(0), inputs};
  TORCH_CHECK(weight.is_contiguous() && weight.numel() == matrix.blocks() * 16 * matrix.padded_inputs(),
              "gavel: int8 tiles of ", weight.sizes(), " do not hold ", matrix.outputs, " x ", inputs);
  return matrix;
}

}  // namespace

Tensor linear_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias) {
  const kernels::Int8Matrix matrix = matrix_of(weight, scale, bias, x.size(-1));
  return multiply(x, matrix, kernels::kernels().multiply, matrix.blocks(), matrix.outputs);
}

Tensor gated_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias) {
  const kernels::Int8Matrix matrix = matrix_of(weight, scale, bias, x.size(-1));
  if (matrix.outputs % 32 != 0) return silu_mul(linear_int8(x, weight, scale, bias));
  return multiply(x, matrix, kernels::kernels().multiply_gated, matrix.blocks() / 2, matrix.outputs / 2);
}

Tensor rows_int8(const Tensor& weight, const Tensor& scale, const Tensor& rows, int64_t inputs) {
  const int64_t steps = weight.size(1), count = rows.numel();
  Tensor out = at::empty({count, inputs}, at::kFloat);
  const auto* tiles = weight.const_data_ptr<int8_t>();
  const auto* factor = scale.const_data_ptr<float>();
  const Tensor wanted = rows.contiguous();
  const auto* row = wanted.const_data_ptr<int64_t>();
  float* to = out.data_ptr<float>();
  for (int64_t r = 0; r < count; ++r)
    TORCH_CHECK_INDEX(row[r] >= 0 && row[r] < scale.size(0), "token ", row[r], " is outside the vocabulary of ",
                      scale.size(0));
  over_rows(count, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const int8_t* tile = tiles + row[r] / 16 * steps * 64 + row[r] % 16 * 4;
      for (int64_t k = 0; k < inputs; ++k)
        to[r * inputs + k] = static_cast<float>(tile[k / 4 * 64 + k % 4]) * factor[row[r]];
    }
  });
  return out;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor input = contiguous_float(x);
  const int64_t size = input.size(-1);
  Tensor out = at::empty_like(input);
  const float* from = input.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  const auto* w = weight.const_data_ptr<float>();
  over_rows(input.numel() / size, [&](int64_t first, int64_t last) {
    kernels::kernels().rms_norm(from + first * size, w, static_cast<float>(eps), last - first, size, to + first * size);
  });
  return out;
}

namespace {

/// Rows of x through `activation(from, rows, to)`, `shrink` times shorter than they came.
template <class Activation>
Tensor activate(const Tensor& x, int64_t shrink, const Activation& activation) {
  const Tensor input = contiguous_float(x);
  auto sizes = input.sizes().vec();
  const int64_t stride = sizes.back();
  sizes.back() = stride / shrink;
  Tensor out = at::empty(sizes, at::kFloat);
  const float* from = input.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, input.numel() / stride, 2, [&](int64_t first, int64_t last) {
    activation(from + first * stride, last - first, to + first * (stride / shrink));
  });
  return out;
}

}  // namespace

Tensor silu_mul(const Tensor& x) {
  return activate(x, 2, [size = x.size(-1) / 2](const float* from, int64_t rows, float* to) {
    kernels::kernels().silu_mul(from, rows, size, to);
  });
}

Tensor gelu(const Tensor& x) {
  return activate(x, 1, [size = x.size(-1)](const float* from, int64_t rows, float* to) {
    kernels::kernels().gelu(from, rows, size, size, to);
  });
}

Tensor gelu_mul(const Tensor& x) {
  return activate(x, 2, [size = x.size(-1) / 2](const float* from, int64_t rows, float* to) {
    kernels::kernels().gelu(from, rows, size, 2 * size, to);
  });
}

Tensor head_norm(const Tensor& qkv, const Tensor& weight, int64_t heads, int64_t kv_heads, double eps) {
  const int64_t dim = weight.size(1);
  const auto* w = weight.const_data_ptr<float>();
  return activate(qkv, 1, [=, width = qkv.size(-1)](const float* from, int64_t rows, float* to) {
    for (int64_t r = 0; r < rows; ++r, from += width, to += width) {
      kernels::kernels().rms_norm(from, w, static_cast<float>(eps), heads, dim, to);
      kernels::kernels().rms_norm(from + heads * dim, w + dim, static_cast<float>(eps), kv_heads, dim,
                                  to + heads * dim);
      std::copy(from + (heads + kv_heads) * dim, from + width, to + (heads + kv_heads) * dim);
    }
  });
}

Tensor attend(const Tensor& qkv, const Tensor& cos, const Tensor& sin, const Tensor& slots, const Tensor& starts,
              const Tensor& lengths, int64_t prefix_length, const Tensor& prefix_keys, const Tensor& prefix_values,
              const Tensor& own_keys, const Tensor& own_values, int64_t layer, int64_t heads, int64_t kv_heads,
              double scale, double softcap, int64_t window) {
  const Tensor input = contiguous_float(qkv);
  const int64_t tokens = input.size(0), width = input.size(1), dim = width / (heads + 2 * kv_heads), half = cos.size(1);
  const int64_t capacity = own_keys.size(3);
  const Places place = places(slots, starts, lengths, tokens, capacity);
  const Tensor query = at::empty({tokens, heads, dim}, at::kFloat);
  Tensor out = at::empty({tokens, heads * dim}, at::kFloat);

  kernels::Attention a{};
  a.query = query.const_data_ptr<float>();
  a.out = out.data_ptr<float>();
  a.heads = heads;
  a.kv_heads = kv_heads;
  a.head_dim = dim;
  a.prefix_length = prefix_length;
  a.prefix_capacity = prefix_keys.size(3);
  a.prefix_keys = prefix_keys.const_data_ptr<float>() + layer * prefix_keys.stride(0);
  a.prefix_values = prefix_values.const_data_ptr<float>() + layer * prefix_values.stride(0);
  float* keys = own_keys.data_ptr<float>() + layer * own_keys.stride(0);
  float* values = own_values.data_ptr<float>() + layer * own_values.stride(0);
  a.own_keys = keys;
  a.own_values = values;
  a.own_capacity = capacity;
  a.slot = place.slot.data();
  a.limit = place.limit.data();
  a.window = window;
  a.softcap = static_cast<float>(softcap);

  const float* from = input.const_data_ptr<float>();
  float* q = query.data_ptr<float>();
  const auto *c = cos.const_data_ptr<float>(), *s = sin.const_data_ptr<float>();
  const auto factor = static_cast<float>(scale);
  over_rows(tokens, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const float* row = from + t * width;
      for (int64_t h = 0; h < heads; ++h)
        rotate(row + h * dim, c + t * half, s + t * half, half, dim, factor, q + (t * heads + h) * dim, 1);
      const int64_t at = a.limit[t] - 1;
      for (int64_t h = 0; h < kv_heads; ++h) {
        const int64_t head = (a.slot[t] * kv_heads + h) * capacity * dim;
        rotate(row + (heads + h) * dim, c + t * half, s + t * half, half, dim, 1.0F,
               keys + head + at / 16 * 16 * dim + at % 16, 16);
        std::copy_n(row + (heads + kv_heads + h) * dim, dim, values + head + at * dim);
      }
    }
  });

  const int64_t threads = at::get_num_threads(), group = heads / kv_heads;
  const int64_t most = std::max<int64_t>(1, 64 / group);  // rows of a unit stay in the first-level cache
  const int64_t parts = std::max((tokens + most - 1) / most, std::min(tokens, threads));
  const int64_t tile = (tokens + parts - 1) / parts, tiles = (tokens + tile - 1) / tile;
  const Tensor scratch = at::empty({threads, a.scratch(tile)}, at::kFloat);
  float* free = scratch.data_ptr<float>();
  // Later tokens see more keys, so the longest units come first.
  over_units(tiles * kv_heads, [&](int64_t unit, int64_t thread) {
    const int64_t t = (tiles - 1 - unit / kv_heads) * tile;
    kernels::kernels().attend(a, unit % kv_heads, t, std::min(t + tile, tokens), free + thread * scratch.size(1));
  });
  return out;
}

Tensor pool(const Tensor& x, const Tensor& starts) {
  const Tensor input = contiguous_float(x);
  const int64_t size = input.size(1), sequences = starts.size(0) - 1;
  Tensor out = at::zeros({sequences, size}, at::kFloat);
  const auto start = starts.accessor<int64_t, 1>();
  const float* from = input.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t t = start[b]; t < start[b + 1]; ++t)
      for (int64_t i = 0; i < size; ++i) to[b * size + i] += from[t * size + i];
  return out;
}

}  // namespace gavel::ops

TORCH_LIBRARY(gavel, m) {
  m.def("linear_int8(Tensor x, Tensor weight, Tensor scale, Tensor? bias) -> Tensor");
  m.def("gated_int8(Tensor x, Tensor weight, Tensor scale, Tensor? bias) -> Tensor");
  m.def("rows_int8(Tensor weight, Tensor scale, Tensor rows, int inputs) -> Tensor");
  m.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  m.def("silu_mul(Tensor x) -> Tensor");
  m.def("gelu(Tensor x) -> Tensor");
  m.def("gelu_mul(Tensor x) -> Tensor");
  m.def("head_norm(Tensor qkv, Tensor weight, int heads, int kv_heads, float eps) -> Tensor");
  m.def(
      "attend(Tensor qkv, Tensor cos, Tensor sin, Tensor slots, Tensor starts, Tensor lengths, int prefix_length, "
      "Tensor prefix_keys, Tensor prefix_values, Tensor(a!) own_keys, Tensor(b!) own_values, int layer, int heads, "
      "int kv_heads, float scale, float softcap, int window) -> Tensor");
  m.def("pool(Tensor x, Tensor starts) -> Tensor");
}

TORCH_LIBRARY_IMPL(gavel, CPU, m) {
  m.impl("linear_int8", gavel::ops::linear_int8);
  m.impl("gated_int8", gavel::ops::gated_int8);
  m.impl("rows_int8", gavel::ops::rows_int8);
  m.impl("rms_norm", gavel::ops::rms_norm);
  m.impl("silu_mul", gavel::ops::silu_mul);
  m.impl("gelu", gavel::ops::gelu);
  m.impl("gelu_mul", gavel::ops::gelu_mul);
  m.impl("head_norm", gavel::ops::head_norm);
  m.impl("attend", gavel::ops::attend);
  m.impl("pool", gavel::ops::pool);
}

TORCH_LIBRARY_IMPL(gavel, CUDA, m) {
  m.impl("linear_int8", gavel::ops::composed::linear_int8);
  m.impl("gated_int8", gavel::ops::composed::gated_int8);
  m.impl("rows_int8", gavel::ops::composed::rows_int8);
  m.impl("rms_norm", gavel::ops::composed::rms_norm);
  m.impl("silu_mul", gavel::ops::composed::silu_mul);
  m.impl("gelu", gavel::ops::composed::gelu);
  m.impl("gelu_mul", gavel::ops::composed::gelu_mul);
  m.impl("head_norm", gavel::ops::composed::head_norm);
  m.impl("attend", gavel::ops::composed::attend);
  m.impl("pool", gavel::ops::composed::pool);
}
