#include "engine/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "gavel/error.hpp"

namespace gavel {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::uint64_t number_in(const char* file) {
  std::ifstream in(file);
  std::uint64_t value = unlimited;
  return in >> value ? value : unlimited;  // "max" is no number
}

std::uint64_t machine_available() {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("MemAvailable:")) return std::stoull(line.substr(13)) * 1024;
  return unlimited;
}

}  // namespace

std::uint64_t available_memory() {
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current");
  const std::uint64_t group = limit == unlimited || used == unlimited ? unlimited : limit - std::min(limit, used);
  return std::min(machine_available(), group);
}

std::string readable(std::uint64_t bytes) {
  const auto amount = static_cast<double>(bytes);
  if (amount >= 1e9) return fmt::format("{:.1f} GB", amount / 1e9);
  return fmt::format("{:.1f} MB", amount / 1e6);
}

void require_memory(std::uint64_t bytes, std::string_view what) {
  if (const std::uint64_t there = available_memory(); bytes > there)
    throw Error(ErrorCode::out_of_memory,
                fmt::format("{} needs {} ({} bytes) and {} are available; ask for fewer candidates or tokens", what,
                            readable(bytes), bytes, readable(there)));
}

}  // namespace gavel
