#include "normalizer.hpp"

#include "unicode.hpp"

namespace gavel::text {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const std::size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

std::string replace_matches(std::string_view text, const Pattern& pattern, std::string_view to) {
  MatchMemory memory;
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  pattern.each_match(text, memory, [&](Match match) {
    out += text.substr(done, match.begin - done);
    out += to;
    done = match.end;
  });
  out += text.substr(done);
  return out;
}

std::string_view strip(std::string_view text, bool left, bool right) {
  if (left) text.remove_prefix(white_space_after(text, 0));
  if (right) text = text.substr(0, white_space_before(text, text.size()));
  return text;
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) out = step(out);
  return out;
}

}  // namespace gavel::text
