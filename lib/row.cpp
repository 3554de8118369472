#include "row.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

namespace gavel {
namespace {

namespace generic {
#define GAVEL_LANES 4
#include "row.inc.hpp"
#undef GAVEL_LANES
}  // namespace generic
constexpr RowKernels generic_kernels{"generic", generic::block_maxima, generic::block_sums, generic::weights};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define GAVEL_LANES 8
#include "row.inc.hpp"
#undef GAVEL_LANES
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,fma")
namespace avx512 {
#define GAVEL_LANES 16
#include "row.inc.hpp"
#undef GAVEL_LANES
}  // namespace avx512
#pragma GCC pop_options

constexpr RowKernels avx2_kernels{"avx2", avx2::block_maxima, avx2::block_sums, avx2::weights};
constexpr RowKernels avx512_kernels{"avx512", avx512::block_maxima, avx512::block_sums, avx512::weights};
#endif

}  // namespace

const RowKernels* row_kernels(const char* name) {
  if (std::strcmp(name, "generic") == 0) return &generic_kernels;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if (std::strcmp(name, "avx2") == 0)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2_kernels : nullptr;
  if (std::strcmp(name, "avx512") == 0)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") ? &avx512_kernels : nullptr;
#endif
  return nullptr;
}

const RowKernels& row_kernels() {
  static const RowKernels& best = []() -> const RowKernels& {
    for (const char* name : {"avx512", "avx2"})
      if (const RowKernels* kernels = row_kernels(name)) return *kernels;
    return generic_kernels;
  }();
  return best;
}

}  // namespace gavel
