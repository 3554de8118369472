#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "gavel/task.hpp"

namespace gavel {

/// Letters, digits and what else names are made of; every byte of a character beyond ASCII is one.
[[nodiscard]] bool is_word(char c);

/// Says of each byte of a program whether it is code, comment or literal, byte by byte as it is written. A string that
/// its line does not close ends with the line, so one stray quote spoils little. Language::any is all code.
class CodeLexer {
 public:
  enum class Kind { code, comment, literal };

  explicit CodeLexer(Language language) : language_(language) {}

  [[nodiscard]] Kind push(char c);

  /// Whether the last byte also made the one before it, a slash that was taken for code, part of a comment.
  [[nodiscard]] bool took_previous() const { return took_previous_; }

  /// The word of code that the last byte continued, cut to its first eight bytes; else empty.
  [[nodiscard]] std::string_view word() const { return word_; }

 private:
  enum class State { code, line_comment, block_comment, one_quote, two_quotes, string, raw_delimiter, raw_string };

  [[nodiscard]] Kind code(char c);
  [[nodiscard]] Kind string(char c);
  [[nodiscard]] Kind raw(char c);
  [[nodiscard]] bool braces() const { return language_ == Language::java || language_ == Language::cpp; }

  Language language_;
  State state_ = State::code;
  bool took_previous_ = false;
  bool after_slash_ = false, after_star_ = false, after_backslash_ = false;
  char quote_ = 0;
  bool triple_ = false;
  std::size_t closing_ = 0;  // how much of the closing quotes was seen
  std::string raw_end_;      // C++: )delimiter"
  std::string word_;
};

}  // namespace gavel
