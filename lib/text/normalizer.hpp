#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pattern.hpp"

namespace gavel::text {

/// What is done to a text before it is split into words: steps in order, often none.
class Normalizer {
 public:
  using Step = std::function<std::string(std::string_view)>;

  Normalizer() = default;
  explicit Normalizer(std::vector<Step> steps) : steps_(std::move(steps)) {}

  [[nodiscard]] bool empty() const { return steps_.empty(); }
  [[nodiscard]] std::string operator()(std::string_view text) const;

 private:
  std::vector<Step> steps_;
};

/// Every occurrence of `from` (not empty), left to right, replaced by `to`.
[[nodiscard]] std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

/// Every match of the pattern replaced by `to`.
[[nodiscard]] std::string replace_matches(std::string_view text, const Pattern& pattern, std::string_view to);

/// Without the white space at its left or right end.
[[nodiscard]] std::string_view strip(std::string_view text, bool left, bool right);

}  // namespace gavel::text
