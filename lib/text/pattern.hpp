#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gavel::text {

/// A pre-tokenizer's pattern in PCRE2's dialect with the meaning it has for the reference library, whose engine is
/// Oniguruma. Throws unsupported naming a construct whose meaning differs and cannot be translated.
[[nodiscard]] std::string translate_pattern(std::string_view pattern);

/// A pattern that matches a text as it stands.
[[nodiscard]] std::string literal_pattern(std::string_view text);

/// A match: [begin, end) in bytes.
struct Match {
  std::size_t begin = 0, end = 0;
};

/// Working memory of matching; one per thread, for any number of patterns.
class MatchMemory {
 public:
  MatchMemory();
  ~MatchMemory();
  MatchMemory(const MatchMemory&) = delete;
  MatchMemory& operator=(const MatchMemory&) = delete;

 private:
  friend class Pattern;
  struct Data;
  std::unique_ptr<Data> data_;
};

/// A compiled pattern. Immutable; may be used from several threads.
class Pattern {
 public:
  /// Compiles a pattern in PCRE2's dialect. Throws unsupported with what PCRE2 says of it.
  explicit Pattern(const std::string& pattern);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// The first match at or after `from` in valid UTF-8.
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from, MatchMemory& memory) const;

  /// Calls `each` with every match in valid UTF-8, left to right. An empty match is none where another ends before it.
  template <class Each>
  void each_match(std::string_view text, MatchMemory& memory, Each&& each) const {
    std::optional<std::size_t> last_end;
    for (std::size_t from = 0; !text.empty() && from <= text.size() && last_end != text.size();) {
      const std::optional<Match> match = find(text, from, memory);
      if (!match) return;
      from = match->end;
      if (match->begin == match->end && last_end == match->end) {
        do {
          ++from;
        } while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0U) == 0x80U);
        continue;
      }
      last_end = match->end;
      each(*match);
    }
  }

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace gavel::text
