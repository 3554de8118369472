#pragma once

// Vectors of floats as wide as the instruction set this file is compiled for, through the compiler's own vector types.

#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

typedef float Vector __attribute__((vector_size(lanes * sizeof(float))));
typedef std::int32_t Integers __attribute__((vector_size(lanes * sizeof(std::int32_t))));

inline Vector load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void store(float* p, Vector v) {
  std::memcpy(p, &v, sizeof v);
}

inline Vector broadcast(float x) {
  return x - Vector{};
}

inline Vector maximum(Vector a, Vector b) {
  return a > b ? a : b;
}

/// Lane by lane in a fixed order, so that a sum is the same wherever it is computed.
inline float sum(Vector v) {
  float total = 0;
  for (int i = 0; i < lanes; ++i) total += v[i];
  return total;
}

inline float largest(Vector v) {
  float best = v[0];
  for (int i = 1; i < lanes; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

/// e^x to about 2 ulp for x <= 88; 0 below -87. Range reduction by ln 2 in two parts, then the Taylor polynomial of
/// degree 6 on [-ln 2 / 2, ln 2 / 2], whose remainder is below 2e-7 relative.
inline Vector exponential(Vector x) {
  const Vector low = broadcast(-87.0F), high = broadcast(88.0F);
  const Integers underflow = x < low;
  x = x < low ? low : x;
  x = x > high ? high : x;
  constexpr float round_magic = 12582912.0F;  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
  const Vector shifted = x * 1.44269504088896341F + round_magic;
  const Vector whole = shifted - round_magic;
  Vector r = x - whole * 0.693145751953125F;
  r = r - whole * 1.42860682030941723212e-6F;
  Vector p = broadcast(1.0F / 720);
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  Integers exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  exponent = (exponent - 0x4B400000 + 127) << 23;
  Vector scale;
  std::memcpy(&scale, &exponent, sizeof scale);
  return underflow ? Vector{} : p * scale;
}

}  // namespace
