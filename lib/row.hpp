#pragma once

#include <cstddef>

/// Passes over one row of logits, compiled for several instruction sets; `row_kernels()` picks the processor's best.
namespace gavel {

/// Values per block. Small enough that a block of interest is cheap to read again, large enough that there are few.
inline constexpr std::size_t row_block = 256;

[[nodiscard]] constexpr std::size_t row_blocks(std::size_t n) {
  return (n + row_block - 1) / row_block;
}

struct RowKernels {
  const char* name;

  /// maxima[b] = largest value of block b, NaN left out. False where the row holds a NaN or an infinity.
  bool (*block_maxima)(const float* x, std::size_t n, float* maxima);

  /// sums[b] = sum over block b of exp((x - max) * scale). No value may be above max, nor NaN.
  void (*block_sums)(const float* x, std::size_t n, float max, float scale, float* sums);

  /// out[i] = exp((x[i] - max) * scale), the same to the last bit as in block_sums.
  void (*weights)(const float* x, std::size_t n, float max, float scale, float* out);
};

/// The best kernels this processor can run, chosen once.
[[nodiscard]] const RowKernels& row_kernels();

/// Kernels by name ("generic", "avx2", "avx512"), or null where the processor lacks them: for tests.
[[nodiscard]] const RowKernels* row_kernels(const char* name);

}  // namespace gavel
