#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gavel::text {

/// The bytes every id stands for, in one block of memory, in order of id.
class TokenTexts {
 public:
  void add(std::string_view bytes) {
    texts_ += bytes;
    ends_.push_back(texts_.size());
    known_.push_back(true);
  }
  /// An id that no token has.
  void add_hole() {
    ends_.push_back(texts_.size());
    known_.push_back(false);
  }
  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(ends_.size()); }
  [[nodiscard]] bool has(std::int32_t id) const {
    return id >= 0 && id < size() && known_[static_cast<std::size_t>(id)];
  }
  /// For an id that `has` knows.
  [[nodiscard]] std::string_view operator[](std::int32_t id) const {
    const auto at = static_cast<std::size_t>(id);
    const std::size_t begin = at == 0 ? 0 : ends_[at - 1];
    return std::string_view(texts_).substr(begin, ends_[at] - begin);
  }

 private:
  std::string texts_;
  std::vector<std::size_t> ends_;
  std::vector<bool> known_;
};

}  // namespace gavel::text
