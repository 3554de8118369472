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

std::string Normalizer::operator()(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Step::Kind::nfc: out = nfc(out); break;
      case Step::Kind::prepend:
        if (!out.empty()) out.insert(0, step.to);
        break;
      case Step::Kind::replace: out = replace_all(out, step.from, step.to); break;
    }
  }
  return out;
}

}  // namespace gavel::text
