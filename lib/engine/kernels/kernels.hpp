#pragma once

#include <cstddef>
#include <cstdint>

/// The CPU's inner loops, without a tensor in sight. One source is compiled for each instruction set; `kernels()` picks
/// the best the processor has. Every function computes a row in an order that depends on that row alone, so results
/// do not change with what is batched beside it.
namespace gavel::kernels {

/// Weights of `outputs` x `inputs` int8 in tiles [outputs/16][inputs/4][16][4], zero-padded to multiples of 16 and 64.
struct Int8Matrix {
  const std::int8_t* tiles;
  const float* scale;  ///< [outputs]
  const float* bias;   ///< [outputs], or null
  std::int64_t outputs, inputs;
  [[nodiscard]] std::int64_t padded_inputs() const { return (inputs + 63) / 64 * 64; }
  [[nodiscard]] std::int64_t blocks() const { return (outputs + 15) / 16; }
};

/// Activations in int8, a scale for each row, and each row's sum: what a product with unsigned weights takes off again.
struct Int8Rows {
  std::int8_t* q;     ///< [rows][padded], readable up to a multiple of 32 rows
  float* scale;       ///< [rows]
  std::int32_t* sum;  ///< [rows]
  std::int64_t rows, padded;
  [[nodiscard]] Int8Rows from(std::int64_t row) const {
    return {q + row * padded, scale + row, sum + row, rows - row, padded};
  }
};

/// One layer's attention over caches. Keys of a head are stored in groups of 16 tokens, [C/16][D][16]; values [C][D].
struct Attention {
  const float* query;  ///< [tokens][heads][D], rotated and scaled
  float* out;          ///< [tokens][heads][D]
  std::int64_t heads, kv_heads, head_dim;
  const float *prefix_keys, *prefix_values;  ///< [kv_heads][...]
  std::int64_t prefix_length, prefix_capacity;
  const float *own_keys, *own_values;  ///< [slots][kv_heads][...]
  std::int64_t own_capacity;
  const std::int64_t* slot;   ///< [tokens], the token's place in the own cache
  const std::int64_t* limit;  ///< [tokens], how many own tokens there are up to it, itself included
  std::int64_t window;        ///< how many tokens it sees at most, itself included; 0: all
  float softcap;  ///< scores become softcap * tanh(score / softcap); 0: they stay (Gemma 2, arXiv 2408.00118)

  /// Floats of scratch that `tokens` at once need.
  [[nodiscard]] std::int64_t scratch(std::int64_t tokens) const {
    return tokens * (heads / kv_heads) * (2 * head_dim + key_block + 2);
  }
  static constexpr std::int64_t key_block = 64;  ///< keys per softmax update
};

struct Table {
  const char* name;

  /// Symmetric int8 per row: q[r][k] = round(x[r][k] / scale[r]), scale = absmax / 127; padded with zeros.
  void (*quantize)(const float* x, std::int64_t inputs, const Int8Rows& to);

  /// out[r][n] = scale[r] * w.scale[n] * sum_k q[r][k] w[n][k] + bias[n] for blocks [first, last) of 16 outputs.
  void (*multiply)(const Int8Matrix& w, const Int8Rows& x, std::int64_t first, std::int64_t last, float* out);

  /// SwiGLU's first half: silu(gate) * value, where the first half of `w`'s outputs, a multiple of 16, are gates and
  /// the second their values; out[r][outputs / 2], for blocks [first, last) of the first half.
  void (*multiply_gated)(const Int8Matrix& w, const Int8Rows& x, std::int64_t first, std::int64_t last, float* out);

  void (*rms_norm)(const float* x, const float* weight, float eps, std::int64_t rows, std::int64_t size, float* out);

  /// out[r][i] = silu(x[r][i]) * x[r][size + i].
  void (*silu_mul)(const float* x, std::int64_t rows, std::int64_t size, float* out);

  /// GELU by its tanh approximation (Hendrycks and Gimpel, arXiv 1606.08415): out[r][i] = gelu(x[r * stride + i]),
  /// times x[r * stride + size + i] where the rows are gates and values, `stride` = 2 * size long.
  void (*gelu)(const float* x, std::int64_t rows, std::int64_t size, std::int64_t stride, float* out);

  /// Attention of tokens [first, last) with one key/value head, in `a.scratch(last - first)` floats.
  void (*attend)(const Attention& a, std::int64_t kv_head, std::int64_t first, std::int64_t last, float* scratch);
};

/// The best table this processor can run, chosen once.
[[nodiscard]] const Table& kernels();

/// A table by name ("generic", "avx2", "avx512", "amx"), or null where the processor lacks it: for tests.
[[nodiscard]] const Table* kernels(const char* name);

}  // namespace gavel::kernels
