// What this machine can do at most, on all its cores at once: bytes read from memory a second, and int8
// multiply-accumulates a second by each instruction set it has. Prints JSON. Usage: machine THREADS BYTES…
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

std::atomic<std::uint64_t> sink{0};  // what keeps the loops from being optimised away

/// Seconds of `work(thread)` on all threads at once, the best of `rounds`.
double seconds(int threads, int rounds, const std::function<void(int)>& work) {
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::thread> team;
    const auto start = std::chrono::steady_clock::now();
    for (int t = 0; t < threads; ++t) team.emplace_back(work, t);
    for (auto& each : team) each.join();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

__attribute__((target("avx2"))) std::uint64_t read_all(const char* from, const char* to) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (; from + 128 <= to; from += 128) {
    const auto* at = reinterpret_cast<const __m256i*>(from);
    a = _mm256_add_epi64(a, _mm256_load_si256(at));
    b = _mm256_add_epi64(b, _mm256_load_si256(at + 1));
    c = _mm256_add_epi64(c, _mm256_load_si256(at + 2));
    d = _mm256_add_epi64(d, _mm256_load_si256(at + 3));
  }
  a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
  return static_cast<std::uint64_t>(_mm256_extract_epi64(a, 0) + _mm256_extract_epi64(a, 1));
}

double bandwidth(int threads, std::size_t bytes) {
  const std::size_t part = bytes / static_cast<std::size_t>(threads) / 4096 * 4096;
  std::vector<std::unique_ptr<char, decltype(&std::free)>> parts;
  for (int t = 0; t < threads; ++t) {
    auto* memory = static_cast<char*>(std::aligned_alloc(4096, part));
    if (memory == nullptr) std::exit(1);
    std::memset(memory, 1, part);
    parts.emplace_back(memory, &std::free);
  }
  const double best = seconds(threads, 7, [&](int t) {
    const char* from = parts[static_cast<std::size_t>(t)].get();
    sink += read_all(from, from + part);
  });
  return static_cast<double>(part) * threads / best;
}

constexpr long repeats = 4'000'000;

// Twelve independent sums hide an instruction's latency on every processor that has it.
#define GAVEL_REPEAT(step)                                                                            \
  for (long i = 0; i < repeats; ++i) {                                                                \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11) \
  }

__attribute__((target("avx2"))) void run_avx2() {
  __m256i sums[12] = {}, a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
  const __m256i ones = _mm256_set1_epi16(1);
#define STEP(n)                   \
  __asm__ volatile("" : "+x"(a)); \
  sums[n] = _mm256_add_epi32(sums[n], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
  GAVEL_REPEAT(STEP)
#undef STEP
  for (__m256i& each : sums) __asm__ volatile("" : "+x"(each));
}

__attribute__((target("avxvnni"))) void run_avx_vnni() {
  __m256i sums[12] = {};
  const __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
#define STEP(n) sums[n] = _mm256_dpbusd_avx_epi32(sums[n], a, b);
  GAVEL_REPEAT(STEP)
#undef STEP
  for (__m256i& each : sums) __asm__ volatile("" : "+x"(each));
}

__attribute__((target("avx512f,avx512vnni"))) void run_avx512_vnni() {
  __m512i sums[12] = {};
  const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
#define STEP(n) sums[n] = _mm512_dpbusd_epi32(sums[n], a, b);
  GAVEL_REPEAT(STEP)
#undef STEP
  for (__m512i& each : sums) __asm__ volatile("" : "+v"(each));
}

// Static, so that the compiler cannot drop what it does not see being read.
struct TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) volatile TileConfig tile_config;
alignas(64) volatile std::int8_t tile_data[1024];
constexpr long tile_repeats = 2'000'000;

__attribute__((target("amx-tile,amx-int8"))) void run_amx() {
  alignas(64) std::int32_t out[256];
  __asm__ volatile("ldtilecfg %0" ::"m"(tile_config));
  _tile_loadd(4, const_cast<const std::int8_t*>(tile_data), 64);
  _tile_loadd(5, const_cast<const std::int8_t*>(tile_data), 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (long i = 0; i < tile_repeats; ++i) {
    _tile_dpbusd(0, 4, 5);
    _tile_dpbusd(1, 4, 5);
    _tile_dpbusd(2, 4, 5);
    _tile_dpbusd(3, 4, 5);
  }
  _tile_stored(0, out, 64);
  _tile_release();
  sink += static_cast<std::uint64_t>(out[0]);
}

bool amx_allowed() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 24 & 3U) != 3U) return false;
  constexpr long request_permission = 0x1023, tile_state = 18;  // arch_prctl: ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_state) == 0;
}

bool avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1U) != 0;
}

double rate(int threads, double each, void (*run)()) {
  return each * threads / seconds(threads, 3, [run](int) { run(); });
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::max(1, std::atoi(arguments[1])) : 1;
  std::printf("{\"threads\": %d, \"int8_macs\": {", threads);
  const double steps = 12.0 * repeats;
  std::printf("\"avx2\": %.4g", __builtin_cpu_supports("avx2") ? rate(threads, steps * 32, run_avx2) : 0.0);
  if (avx_vnni()) std::printf(", \"avx-vnni\": %.4g", rate(threads, steps * 32, run_avx_vnni));
  if (__builtin_cpu_supports("avx512vnni"))
    std::printf(", \"avx512-vnni\": %.4g", rate(threads, steps * 64, run_avx512_vnni));
  if (amx_allowed()) std::printf(", \"amx-int8\": %.4g", rate(threads, 4.0 * tile_repeats * 16 * 16 * 64, run_amx));
  std::printf("}, \"read_bytes\": {");
  for (int i = 2; i < count; ++i) {
    const auto bytes = static_cast<std::size_t>(std::strtoull(arguments[i], nullptr, 10));
    std::printf("%s\"%zu\": %.4g", i > 2 ? ", " : "", bytes, bandwidth(threads, bytes));
  }
  std::printf("}}\n");
}
