#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

/// The operator `gavel::add_lora`: y += B (A x) for x float32 [T, inputs] and y float32 [T, outputs], A [r, inputs],
/// and a B [outputs_i, r_i] for each of the layers stacked in y, in order.
namespace gavel::ops {
namespace {

using at::Tensor;

void add_lora(const Tensor& y, const Tensor& x, const Tensor& lora_a, at::TensorList lora_b) {
  const Tensor inner = at::linear(x, lora_a);
  int64_t output = 0, rank = 0;
  for (const Tensor& b : lora_b) {
    y.narrow(1, output, b.size(0)).addmm_(inner.narrow(1, rank, b.size(1)), b.t());
    output += b.size(0);
    rank += b.size(1);
  }
}

/// Each thread takes some tokens through all products: one region for them all, where each would open its own.
void add_lora_cpu(const Tensor& y, const Tensor& x, const Tensor& lora_a, at::TensorList lora_b) {
  constexpr int64_t least_tokens = 4;  // for a thread of their own
  at::parallel_for(0, x.size(0), least_tokens, [&](int64_t first, int64_t last) {
    const c10::InferenceMode inference;  // each thread has its own
    add_lora(y.narrow(0, first, last - first), x.narrow(0, first, last - first), lora_a, lora_b);
  });
}

}  // namespace
}  // namespace gavel::ops

TORCH_LIBRARY_FRAGMENT(gavel, m) {
  m.def("add_lora(Tensor(a!) y, Tensor x, Tensor lora_a, Tensor[] lora_b) -> ()");
}

TORCH_LIBRARY_IMPL(gavel, CPU, m) {
  m.impl("add_lora", gavel::ops::add_lora_cpu);
}

TORCH_LIBRARY_IMPL(gavel, CUDA, m) {
  m.impl("add_lora", gavel::ops::add_lora);
}
