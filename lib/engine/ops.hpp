#pragma once

#include <torch/library.h>
#include <torch/types.h>

#include <optional>

/// The operators a bundle's program may call beside torch's own, in the namespace `gavel`. On the CPU they are the
/// kernels of engine/kernels; elsewhere they are composed of torch's operators.
namespace gavel::ops {

using at::Tensor;

/// y = x W^T + b with tiled int8 weights and activations quantised per row. x float32 [..., K], y float32 [..., N].
Tensor linear_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias);

/// silu(x G^T) * (x V^T) for the tiled int8 weights [G; V] of a gated MLP, float32 [..., N / 2].
Tensor gated_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias);

/// Rows of a tiled int8 matrix as float32 [R, K].
Tensor rows_int8(const Tensor& weight, const Tensor& scale, const Tensor& rows, int64_t inputs);

/// weight * x / sqrt(mean(x^2) + eps), over the last dimension, float32.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);

/// silu(gate) * up for x = [gate, up] along the last dimension.
Tensor silu_mul(const Tensor& x);

/// gelu(x), and gelu(gate) * up for x = [gate, up] along the last dimension; by the tanh approximation.
Tensor gelu(const Tensor& x);
Tensor gelu_mul(const Tensor& x);

/// RMSNorm of each query and key head of qkv [T, (heads + 2 kv_heads) * head_dim] with weight [2, head_dim], the
/// queries' row and the keys'; values stay.
Tensor head_norm(const Tensor& qkv, const Tensor& weight, int64_t heads, int64_t kv_heads, double eps);

/// Rotates the first 2 * cos.size(1) numbers of each query and key head, appends keys and values to the sequences' own
/// caches, and attends to prefix and own: the last `window` tokens, or all where it is 0; scores are scaled by `scale`,
/// and where `softcap` is not 0 capped to it. Shapes: toolkit/program.py. Returns float32 [T, heads * head_dim].
Tensor attend(const Tensor& qkv, const Tensor& cos, const Tensor& sin, const Tensor& slots, const Tensor& starts,
              const Tensor& lengths, int64_t prefix_length, const Tensor& prefix_keys, const Tensor& prefix_values,
              const Tensor& own_keys, const Tensor& own_values, int64_t layer, int64_t heads, int64_t kv_heads,
              double scale, double softcap, int64_t window);

/// Sums over each sequence's tokens, in their order: float32 [T, H], starts [B + 1] -> [B, H].
Tensor pool(const Tensor& x, const Tensor& starts);

/// The same operators from torch's own: what runs on accelerators, and the reference the kernels are tested against.
/// Here the order inside a head's keys is [C, D].
namespace composed {
Tensor linear_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias);
Tensor gated_int8(const Tensor& x, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias);
Tensor rows_int8(const Tensor& weight, const Tensor& scale, const Tensor& rows, int64_t inputs);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);
Tensor silu_mul(const Tensor& x);
Tensor gelu(const Tensor& x);
Tensor gelu_mul(const Tensor& x);
Tensor head_norm(const Tensor& qkv, const Tensor& weight, int64_t heads, int64_t kv_heads, double eps);
Tensor attend(const Tensor& qkv, const Tensor& cos, const Tensor& sin, const Tensor& slots, const Tensor& starts,
              const Tensor& lengths, int64_t prefix_length, const Tensor& prefix_keys, const Tensor& prefix_values,
              const Tensor& own_keys, const Tensor& own_values, int64_t layer, int64_t heads, int64_t kv_heads,
              double scale, double softcap, int64_t window);
Tensor pool(const Tensor& x, const Tensor& starts);

/// Tiled int8 weights as a plain [N, K] matrix.
Tensor untile(const Tensor& weight, int64_t outputs, int64_t inputs);
}  // namespace composed

}  // namespace gavel::ops
