#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "guard.hpp"

namespace gavel::capi {

/// Size of a sized struct in the first version that had it: the end of its then last field. Callers built against any
/// version pass at least this much. A struct that grows keeps its number here.
template <class T>
inline constexpr std::size_t first_size = 0;
template <>
inline constexpr std::size_t first_size<gavel_open_options> = offsetof(gavel_open_options, self_test) + 4;
template <>
inline constexpr std::size_t first_size<gavel_model_info> = offsetof(gavel_model_info, has_probe) + 4;
template <>
inline constexpr std::size_t first_size<gavel_memory_estimate> = offsetof(gavel_memory_estimate, total) + 8;
template <>
inline constexpr std::size_t first_size<gavel_task> = offsetof(gavel_task, id) + sizeof(gavel_text);
template <>
inline constexpr std::size_t first_size<gavel_candidate> = offsetof(gavel_candidate, tokenizer) + sizeof(gavel_text);
template <>
inline constexpr std::size_t first_size<gavel_generate_stats> = offsetof(gavel_generate_stats, steps) + 8;
template <>
inline constexpr std::size_t first_size<gavel_generate_options> = offsetof(gavel_generate_options, probe) + 4;
template <>
inline constexpr std::size_t first_size<gavel_judge_options> = offsetof(gavel_judge_options, abstain_band) + 8;
template <>
inline constexpr std::size_t first_size<gavel_judge_info> = offsetof(gavel_judge_info, digest) + sizeof(gavel_text);
template <>
inline constexpr std::size_t first_size<gavel_operating_point> = offsetof(gavel_operating_point, candidates) + 8;
template <>
inline constexpr std::size_t first_size<gavel_explanation> = offsetof(gavel_explanation, truncated) + 8;
template <>
inline constexpr std::size_t first_size<gavel_rank_options> = offsetof(gavel_rank_options, weight_count) +
                                                              sizeof(size_t);
template <>
inline constexpr std::size_t first_size<gavel_ranking_info> = offsetof(gavel_ranking_info, generator_digest) +
                                                              sizeof(gavel_text);
template <>
inline constexpr std::size_t first_size<gavel_ranked> = offsetof(gavel_ranked, representative) + sizeof(size_t);

/// No struct of the ABI comes near this: a larger size is a field nobody set.
inline constexpr std::size_t largest_size = 4096;

template <class T>
void check_size(std::size_t size, const char* name) {
  static_assert(first_size<T> > 0 && std::is_trivially_copyable_v<T>);
  if (size < first_size<T> || size > largest_size) {
    refuse(std::string(name) + " has size " + std::to_string(size) + ", expected " + std::to_string(sizeof(T)) +
           "; make it with its _init, or set its size to its sizeof");
  }
}

/// Writes as much of `value` as the caller's struct has room for; what is beyond our own becomes zero.
template <class T>
void write_sized(T* out, std::size_t size, T value, const char* name) {
  need(out, name);
  check_size<T>(size, name);
  value.size = size;
  const std::size_t known = std::min(size, sizeof(T));
  std::memcpy(out, &value, known);
  std::memset(reinterpret_cast<char*>(out) + known, 0, size - known);
}

/// Fills a struct whose `size` the caller has set.
template <class T>
void fill_sized(T* out, const T& value) {
  write_sized(out, need(out, "out").size, value, "out");
}

/// Reads as much of the caller's struct as it has over `defaults`. Fields that only a newer header has must be unset.
template <class T>
T read_sized(const T* in, T defaults, const char* name) {
  const std::size_t size = need(in, name).size;
  check_size<T>(size, name);
  const char* bytes = reinterpret_cast<const char*>(in);
  if (size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + size, [](char byte) { return byte != 0; })) {
    throw Error(ErrorCode::unsupported,
                std::string(name) + " sets a field that gavel " GAVEL_VERSION " does not know; use a newer libgavel");
  }
  std::memcpy(&defaults, in, std::min(size, sizeof(T)));
  return defaults;
}

}  // namespace gavel::capi
