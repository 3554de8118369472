#include <algorithm>

#include "completion.hpp"
#include "gavel/error.hpp"

namespace gavel {

StopFinder::StopFinder(std::vector<std::string> stops) {
  for (std::string& text : stops) {
    if (text.empty()) throw Error(ErrorCode::invalid_argument, "a stop string is empty; leave it out");
    Stop stop{std::move(text), {}, 0};
    stop.border.resize(stop.text.size());
    for (std::size_t i = 1, matched = 0; i < stop.text.size(); ++i) {
      while (matched > 0 && stop.text[i] != stop.text[matched]) matched = stop.border[matched - 1];
      if (stop.text[i] == stop.text[matched]) ++matched;
      stop.border[i] = matched;
    }
    stops_.push_back(std::move(stop));
  }
}

std::optional<std::size_t> StopFinder::push(std::string_view piece) {
  for (const char c : piece) {
    ++length_;
    for (Stop& stop : stops_) {
      while (stop.matched > 0 && c != stop.text[stop.matched]) stop.matched = stop.border[stop.matched - 1];
      if (c == stop.text[stop.matched]) ++stop.matched;
      if (stop.matched < stop.text.size()) continue;
      found_ = std::min(found_.value_or(length_), length_ - stop.matched);
      stop.matched = stop.border[stop.matched - 1];
    }
  }
  return found_;
}

std::size_t StopFinder::safe_length() const {
  std::size_t open = 0;
  for (const Stop& stop : stops_) open = std::max(open, stop.matched);
  return std::min(found_.value_or(length_), length_ - open);
}

}  // namespace gavel
