#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "code_lexer.hpp"
#include "gavel/task.hpp"

namespace gavel {

/// Finds where the completion of a program's beginning is complete, while it is written.
///
/// Java and C++: behind the brace of the function that the prompt ended in or was about to open (the outermost one);
/// where there is none, behind the brace that closes all that prompt and text opened (in C++ behind the semicolon that
/// a type's brace needs), or before a brace that closes nothing. Python: before the first line of code that is not
/// indented deeper than the function the prompt ended in (the outermost one; a class where there is no function).
/// `any` never ends.
class CompletionScanner {
 public:
  CompletionScanner(std::string_view prompt, Language language);

  /// Takes the next piece of the text, in time that grows with the piece alone. Where the text is complete, the length
  /// of what belongs to it; the same from then on.
  std::optional<std::size_t> push(std::string_view piece);

  /// What closes the types around the function, so that prompt, text and this are a whole program.
  [[nodiscard]] const std::string& closing() const { return closing_; }

 private:
  enum class Kind { function, type, other };
  struct Scope {
    std::size_t indent;  // Python
    Kind kind;
  };

  void push(char c);
  void begin_text();
  void braces(char c, std::string_view word);
  [[nodiscard]] Kind opened() const;
  void python(char c, CodeLexer::Kind kind);
  void python_line();
  void python_word(std::string_view word);
  void complete(std::size_t length) {
    if (in_text_ && !end_) end_ = length;
  }

  Language language_;
  CodeLexer lexer_;
  bool in_text_ = false;
  std::size_t length_ = 0;  // of the text so far
  std::optional<std::size_t> end_;
  std::vector<Scope> scopes_;  // that are open; in Python only the prompt's

  // Java and C++
  enum class Header { none, type, record, function } header_ = Header::none;  // of a scope, since the statement began
  std::size_t outside_ = 0;              // how many scopes of the prompt are around what the text completes
  std::string closing_;                  // them
  std::optional<std::size_t> type_end_;  // the outermost type was closed here; a semicolon may follow

  // Python
  std::size_t brackets_ = 0, indent_ = 0, line_start_ = 0;
  bool in_indent_ = true, first_word_ = false, after_backslash_ = false;
  std::optional<std::size_t> limit_;  // a line indented this little is not the text's
};

/// The same for a text that is all there.
[[nodiscard]] std::optional<std::size_t> completion_end(std::string_view prompt, std::string_view text,
                                                        Language language);

/// The code in a chat answer: the first fenced block marked as the language, else the first unmarked one, else the
/// first; a block that is not closed goes to the end. Without a fence the whole answer, trimmed.
[[nodiscard]] std::string extract_code(std::string_view answer, Language language);

/// Looks for stop strings in a text that comes in pieces, also across them. Throws invalid_argument for an empty one.
class StopFinder {
 public:
  explicit StopFinder(std::vector<std::string> stops);

  /// The position of the first stop string in all the text so far.
  std::optional<std::size_t> push(std::string_view piece);

  /// How much of the text can be shown: what follows may be the beginning of a stop string, or is one.
  [[nodiscard]] std::size_t safe_length() const;

 private:
  /// One stop string with its failure table (Knuth, Morris and Pratt): each byte is looked at once.
  struct Stop {
    std::string text;
    std::vector<std::size_t> border;  // of the first i + 1 bytes: the longest proper prefix that is also their end
    std::size_t matched = 0;
  };
  std::vector<Stop> stops_;
  std::size_t length_ = 0;
  std::optional<std::size_t> found_;
};

}  // namespace gavel
