#pragma once

// int8 products over the tiled weights. Sums are exact in int32, so every instruction set and every batch shape gives
// the same bits. Included by the per-instruction-set source only.

#include <cmath>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "engine/kernels/kernels.hpp"
#include "engine/kernels/vector.hpp"

namespace {

using gavel::kernels::Int8Matrix;
using gavel::kernels::Int8Rows;

inline void quantize_rows(const float* x, std::int64_t inputs, const Int8Rows& to) {
  constexpr float round_magic = 12582912.0F;
  std::int8_t* q = to.q;
  for (std::int64_t r = 0; r < to.rows; ++r, x += inputs, q += to.padded) {
    float peak = 0;
    std::int64_t k = 0;
    Vector peaks{};
    for (; k + lanes <= inputs; k += lanes) {
      const Vector v = load(x + k);
      peaks = maximum(peaks, v < 0 ? -v : v);
    }
    for (; k < inputs; ++k) peak = std::fabs(x[k]) > peak ? std::fabs(x[k]) : peak;
    peak = largest(peaks) > peak ? largest(peaks) : peak;
    to.scale[r] = peak / 127.0F;
    const float inverse = peak > 0 ? 127.0F / peak : 0.0F;
    std::int32_t sum = 0;
    for (k = 0; k < inputs; ++k) {
      const float shifted = x[k] * inverse + round_magic;
      std::int32_t bits;
      std::memcpy(&bits, &shifted, sizeof bits);
      q[k] = static_cast<std::int8_t>(bits - 0x4B400000);
      sum += q[k];
    }
    to.sum[r] = sum;
    for (k = inputs; k < to.padded; ++k) q[k] = 0;
  }
}

/// 16 exact sums of a row become floats.
inline void finish_block(const Int8Matrix& w, const std::int32_t* sums, float row_scale, std::int64_t block,
                         float* out) {
  const std::int64_t n = block * 16;
  for (int i = 0; i < 16; i += lanes) {
    Integers whole;
    std::memcpy(&whole, sums + i, sizeof whole);
    Vector value = __builtin_convertvector(whole, Vector) * (row_scale * load(w.scale + n + i));
    if (w.bias != nullptr) value += load(w.bias + n + i);
    store(out + i, value);
  }
}

/// The same into a row of outputs, which the last block may exceed.
inline void finish(const Int8Matrix& w, const std::int32_t* sums, float row_scale, std::int64_t block, float* out) {
  const std::int64_t n = block * 16;
  if (n + 16 <= w.outputs) return finish_block(w, sums, row_scale, block, out + n);
  for (std::int64_t i = 0; n + i < w.outputs; ++i) {
    const float value = static_cast<float>(sums[i]) * (row_scale * w.scale[n + i]);
    out[n + i] = w.bias == nullptr ? value : value + w.bias[n + i];
  }
}

/// The same for a block of gates and the block of values they belong to, half of all blocks further on.
inline void finish_gated(const Int8Matrix& w, const std::int32_t* gates, const std::int32_t* values, float row_scale,
                         std::int64_t block, float* out) {
  alignas(64) float gate[16], value[16];
  finish_block(w, gates, row_scale, block, gate);
  finish_block(w, values, row_scale, block + w.blocks() / 2, value);
  for (int i = 0; i < 16; i += lanes) {
    const Vector g = load(gate + i);
    store(out + block * 16 + i, g / (1.0F + exponential(-g)) * load(value + i));
  }
}

/// Weights are read once a step, from memory; the processor's own prefetching ends with every page.
inline void prefetch(const std::int8_t* tile) {
  constexpr std::int64_t ahead = 4096;
  __builtin_prefetch(tile + ahead);
}

/// The first R rows of `x` times B blocks of 16 outputs, `apart` blocks from one to the next.
template <int R, int B>
inline void sum_tile(const Int8Matrix& w, const Int8Rows& x, std::int64_t block, std::int64_t apart,
                     std::int32_t (&sums)[B][R][16]) {
  const std::int64_t padded = x.padded, steps = padded / 4, stride = apart * steps * 64;
  const std::int8_t* tile = w.tiles + block * steps * 64;
  const std::int8_t* q = x.q;
#if defined(__AVX512VNNI__)
  // dpbusd wants one unsigned side: the weights + 128; 128 times the row's sum is taken off again. A broadcast costs
  // twice what a product does, hence two blocks. All loops over r and b are unrolled, else the sums live in memory.
  __m512i acc[B][R];
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int b = 0; b < B; ++b) acc[b][r] = _mm512_set1_epi32(-128 * x.sum[r]);
  for (std::int64_t k = 0; k < steps; ++k) {
    __m512i weights[B];
#pragma GCC unroll 2
    for (int b = 0; b < B; ++b) {
      prefetch(tile + b * stride + k * 64);
      weights[b] = _mm512_xor_si512(_mm512_loadu_si512(tile + b * stride + k * 64), flip);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      __m512i four;
      asm("vpbroadcastd %1, %0" : "=v"(four) : "m"(*reinterpret_cast<const char(*)[4]>(q + r * padded + k * 4)));
#pragma GCC unroll 2
      for (int b = 0; b < B; ++b)  // GCC 12's intrinsic moves the sums to and fro
        asm("vpdpbusd %2, %1, %0" : "+v"(acc[b][r]) : "v"(weights[b]), "v"(four));
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int b = 0; b < B; ++b) _mm512_store_si512(sums[b][r], acc[b][r]);
#elif defined(__AVX2__)
  // |q| * sign(w, q) keeps each pair of products within int16: 2 * 127 * 127 < 32768.
  const __m256i ones = _mm256_set1_epi16(1);
  for (int b = 0; b < B; ++b, tile += stride) {
    __m256i acc[R][2];
    for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (std::int64_t k = 0; k < steps; ++k) {
      prefetch(tile + k * 64);
      const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + k * 64));
      const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + k * 64 + 32));
      for (int r = 0; r < R; ++r) {
        std::int32_t four;
        std::memcpy(&four, q + r * padded + k * 4, 4);
        const __m256i value = _mm256_set1_epi32(four), size = _mm256_abs_epi8(value);
        const __m256i first = _mm256_maddubs_epi16(size, _mm256_sign_epi8(low, value));
        const __m256i second = _mm256_maddubs_epi16(size, _mm256_sign_epi8(high, value));
        acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(first, ones));
        acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(second, ones));
      }
    }
    for (int r = 0; r < R; ++r) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[b][r]), acc[r][0]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[b][r] + 8), acc[r][1]);
    }
  }
#else
  std::memset(sums, 0, sizeof sums);
  for (int b = 0; b < B; ++b, tile += stride)
    for (std::int64_t k = 0; k < steps; ++k)
      for (int r = 0; r < R; ++r)
        for (int n = 0; n < 16; ++n)
          for (int i = 0; i < 4; ++i) sums[b][r][n] += q[r * padded + k * 4 + i] * tile[k * 64 + n * 4 + i];
#endif
}

#if defined(__AVX512VNNI__)
constexpr int most_rows = 12, most_blocks = 2;
#else
constexpr int most_rows = 5, most_blocks = 1;
#endif

/// What becomes of the sums: outputs as they are, or gates and values joined (SwiGLU).
enum class Finish { plain, gated };

/// All rows of `x` times B blocks, in one reading of the weights up to `most_rows`.
template <Finish F, int B, int R = most_rows>
inline void multiply_rows(const Int8Matrix& w, const Int8Rows& x, std::int64_t block, float* out) {
  if constexpr (R > 0) {
    const std::int64_t width = F == Finish::gated ? w.outputs / 2 : w.outputs;
    std::int64_t r = 0;
    for (; r + R <= x.rows; r += R) {
      alignas(64) std::int32_t sums[B][R][16];
      sum_tile<R, B>(w, x.from(r), block, F == Finish::gated ? w.blocks() / 2 : 1, sums);
      for (int i = 0; i < R; ++i) {
        float* to = out + (r + i) * width;
        if constexpr (F == Finish::gated) {
          finish_gated(w, sums[0][i], sums[1][i], x.scale[r + i], block, to);
        } else {
          for (int b = 0; b < B; ++b) finish(w, sums[b][i], x.scale[r + i], block + b, to);
        }
      }
    }
    if (r < x.rows) multiply_rows<F, B, R - 1>(w, x.from(r), block, out + r * width);
  }
}

inline void multiply_blocks(const Int8Matrix& w, const Int8Rows& x, std::int64_t first, std::int64_t last, float* out) {
  std::int64_t block = first;
  for (; block + most_blocks <= last; block += most_blocks) multiply_rows<Finish::plain, most_blocks>(w, x, block, out);
  for (; block < last; ++block) multiply_rows<Finish::plain, 1>(w, x, block, out);
}

inline void multiply_gated(const Int8Matrix& w, const Int8Rows& x, std::int64_t first, std::int64_t last, float* out) {
  for (std::int64_t block = first; block < last; ++block) multiply_rows<Finish::gated, 2>(w, x, block, out);
}

}  // namespace
