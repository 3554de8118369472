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

inline void quantize_rows(const float* x, std::int64_t rows, std::int64_t inputs, std::int64_t padded, std::int8_t* q,
                          float* scale) {
  constexpr float round_magic = 12582912.0F;
  for (std::int64_t r = 0; r < rows; ++r, x += inputs, q += padded) {
    float peak = 0;
    std::int64_t k = 0;
    Vector peaks{};
    for (; k + lanes <= inputs; k += lanes) {
      const Vector v = load(x + k);
      peaks = maximum(peaks, v < 0 ? -v : v);
    }
    for (; k < inputs; ++k) peak = std::fabs(x[k]) > peak ? std::fabs(x[k]) : peak;
    peak = largest(peaks) > peak ? largest(peaks) : peak;
    scale[r] = peak / 127.0F;
    const float inverse = peak > 0 ? 127.0F / peak : 0.0F;
    for (k = 0; k < inputs; ++k) {
      const float shifted = x[k] * inverse + round_magic;
      std::int32_t bits;
      std::memcpy(&bits, &shifted, sizeof bits);
      q[k] = static_cast<std::int8_t>(bits - 0x4B400000);
    }
    for (k = inputs; k < padded; ++k) q[k] = 0;
  }
}

/// The one epilogue: 16 exact sums of a row become floats.
inline void finish(const Int8Matrix& w, const std::int32_t* sums, float row_scale, std::int64_t block, float* out) {
  const std::int64_t n = block * 16;
  if (n + 16 > w.outputs) {
    for (std::int64_t i = 0; n + i < w.outputs; ++i) {
      const float value = static_cast<float>(sums[i]) * (row_scale * w.scale[n + i]);
      out[n + i] = w.bias == nullptr ? value : value + w.bias[n + i];
    }
    return;
  }
  for (int i = 0; i < 16; i += lanes) {
    Integers whole;
    std::memcpy(&whole, sums + i, sizeof whole);
    Vector value = __builtin_convertvector(whole, Vector) * (row_scale * load(w.scale + n + i));
    if (w.bias != nullptr) value += load(w.bias + n + i);
    store(out + n + i, value);
  }
}

/// R rows times one block of 16 outputs.
template <int R>
inline void multiply_block(const Int8Matrix& w, const std::int8_t* q, const float* scale, std::int64_t block,
                           float* out) {
  const std::int64_t padded = w.padded_inputs(), steps = padded / 4;
  const std::int8_t* tile = w.tiles + block * steps * 64;
  alignas(64) std::int32_t sums[R][16];
#if defined(__AVX512VNNI__)
  // dpbusd wants one unsigned side: q + 128, and 128 times the weights' sums is taken off again.
  __m512i acc[R], offset = _mm512_setzero_si512();
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int r = 0; r < R; ++r) acc[r] = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < steps; ++k) {
    const __m512i weights = _mm512_loadu_si512(tile + k * 64);
    offset = _mm512_dpbusd_epi32(offset, flip, weights);
    for (int r = 0; r < R; ++r) {
      std::int32_t four;
      std::memcpy(&four, q + r * padded + k * 4, 4);
      const __m512i x = _mm512_set1_epi32(four ^ static_cast<std::int32_t>(0x80808080U));
      acc[r] = _mm512_dpbusd_epi32(acc[r], x, weights);
    }
  }
  for (int r = 0; r < R; ++r) _mm512_store_si512(sums[r], _mm512_sub_epi32(acc[r], offset));
#elif defined(__AVX2__)
  // |q| * sign(w, q) keeps each pair of products within int16: 2 * 127 * 127 < 32768.
  __m256i acc[R][2];
  const __m256i ones = _mm256_set1_epi16(1);
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  for (std::int64_t k = 0; k < steps; ++k) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + k * 64));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + k * 64 + 32));
    for (int r = 0; r < R; ++r) {
      std::int32_t four;
      std::memcpy(&four, q + r * padded + k * 4, 4);
      const __m256i x = _mm256_set1_epi32(four), size = _mm256_abs_epi8(x);
      acc[r][0] =
          _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(low, x)), ones));
      acc[r][1] =
          _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(high, x)), ones));
    }
  }
  for (int r = 0; r < R; ++r) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r]), acc[r][0]);
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r] + 8), acc[r][1]);
  }
#else
  std::memset(sums, 0, sizeof sums);
  for (std::int64_t k = 0; k < steps; ++k)
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < 16; ++n)
        for (int i = 0; i < 4; ++i) sums[r][n] += q[r * padded + k * 4 + i] * tile[k * 64 + n * 4 + i];
#endif
  for (int r = 0; r < R; ++r) finish(w, sums[r], scale[r], block, out + r * w.outputs);
}

inline void multiply_blocks(const Int8Matrix& w, const std::int8_t* q, const float* scale, std::int64_t rows,
                            std::int64_t first, std::int64_t last, float* out) {
#if defined(__AVX512F__)
  constexpr int tall = 10;
#else
  constexpr int tall = 5;
#endif
  const std::int64_t padded = w.padded_inputs();
  for (std::int64_t block = first; block < last; ++block) {
    std::int64_t r = 0;
    for (; r + tall <= rows; r += tall) multiply_block<tall>(w, q + r * padded, scale + r, block, out + r * w.outputs);
    for (; r + 4 <= rows; r += 4) multiply_block<4>(w, q + r * padded, scale + r, block, out + r * w.outputs);
    for (; r < rows; ++r) multiply_block<1>(w, q + r * padded, scale + r, block, out + r * w.outputs);
  }
}

}  // namespace
