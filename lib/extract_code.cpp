#include <algorithm>
#include <array>
#include <cctype>

#include "completion.hpp"

namespace gavel {
namespace {

constexpr std::string_view blanks = " \t\r\n\f\v";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// A line that opens or closes a block: three or more backticks or tildes, and what is written behind them.
struct Fence {
  std::size_t indent, length;
  char mark;
  std::string_view info;
};

std::optional<Fence> fence(std::string_view line) {
  const std::size_t indent = std::min(line.find_first_not_of(" \t"), line.size());
  const std::string_view rest = line.substr(indent);
  if (rest.empty() || (rest[0] != '`' && rest[0] != '~')) return std::nullopt;
  const std::size_t length = std::min(rest.find_first_not_of(rest[0]), rest.size());
  const std::string_view info = trimmed(rest.substr(length));
  if (length < 3 || info.find('`') != std::string_view::npos) return std::nullopt;
  return Fence{indent, length, rest[0], info};
}

bool names(std::string_view info, Language language) {
  std::string word(info.substr(0, info.find_first_of(" \t{,:")));
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
  const auto is = [&](auto... known) { return ((word == known) || ...); };
  switch (language) {
    case Language::any: return true;
    case Language::java: return is("java");
    case Language::python: return is("python", "py", "python3");
    case Language::cpp: return is("cpp", "c++", "cxx", "cc", "hpp");
  }
  return false;
}

/// The block's line without the indentation its fence had.
std::string_view dedent(std::string_view line, std::size_t indent) {
  return line.substr(std::min({indent, line.find_first_not_of(" \t"), line.size()}));
}

/// How sure it is that a block marked so is the code that was asked for.
int fitness(const Fence& fence, Language language) {
  if (names(fence.info, language)) return 2;
  return fence.info.empty() ? 1 : 0;
}

}  // namespace

std::string extract_code(std::string_view answer, Language language) {
  std::optional<std::string> best;
  int best_fitness = -1;
  std::optional<Fence> open;
  std::string block;
  const auto close = [&] {
    if (const int fit = fitness(*open, language); fit > best_fitness) {
      best_fitness = fit;
      best = block;
    }
    block.clear();
    open.reset();
  };
  for (std::string_view rest = answer; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end);
    const std::optional<Fence> here = fence(line);
    if (open && here && here->mark == open->mark && here->length >= open->length && here->info.empty()) {
      close();
    } else if (open) {
      block += dedent(line, open->indent);
    } else if (here) {
      open = here;
    }
  }
  if (open) close();
  return best ? *best : std::string(trimmed(answer));
}

}  // namespace gavel
