#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

#include "engine/kernels/kernels.hpp"

namespace gavel::kernels {

extern const Table generic_table;
#if defined(__x86_64__)
extern const Table avx2_table, avx512_table, amx_table;
#endif

namespace {

#if defined(__x86_64__)
/// Tiles must be asked for, once a process (Linux, ARCH_REQ_XCOMP_PERM); nothing else changes by it.
bool amx_allowed() {
  constexpr long request_permission = 0x1023, tile_data = 18;
  static const bool allowed = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return allowed;
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

bool has_amx() {
  unsigned eax = 7, ebx = 0, ecx = 0, edx = 0;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  constexpr unsigned amx_tile = 1U << 24, amx_int8 = 1U << 25;
  return has_avx512() && (edx & amx_tile) != 0 && (edx & amx_int8) != 0 && amx_allowed();
}
#endif

}  // namespace

const Table* kernels(const char* name) {
  if (std::strcmp(name, "generic") == 0) return &generic_table;
#if defined(__x86_64__)
  if (std::strcmp(name, "avx2") == 0) return has_avx2() ? &avx2_table : nullptr;
  if (std::strcmp(name, "avx512") == 0) return has_avx512() ? &avx512_table : nullptr;
  if (std::strcmp(name, "amx") == 0) return has_amx() ? &amx_table : nullptr;
#endif
  return nullptr;
}

const Table& kernels() {
  static const Table& best = [&]() -> const Table& {
    for (const char* name : {"amx", "avx512", "avx2"})
      if (const Table* table = kernels(name)) return *table;
    return generic_table;
  }();
  return best;
}

}  // namespace gavel::kernels
