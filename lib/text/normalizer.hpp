#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gavel::text {

/// What is done to a text before it is split into words: a sequence of steps, often none.
class Normalizer {
 public:
  struct Step {
    enum class Kind { nfc, prepend, replace };
    Kind kind = Kind::nfc;
    std::string from, to;  ///< replace: from and to; prepend: to
  };

  Normalizer() = default;
  explicit Normalizer(std::vector<Step> steps) : steps_(std::move(steps)) {}

  [[nodiscard]] bool empty() const { return steps_.empty(); }
  [[nodiscard]] std::string operator()(std::string_view text) const;

 private:
  std::vector<Step> steps_;
};

/// Every occurrence of `from` (not empty), left to right, replaced by `to`.
[[nodiscard]] std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace gavel::text
