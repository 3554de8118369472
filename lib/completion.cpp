#include "completion.hpp"

#include <algorithm>

namespace gavel {

CompletionScanner::CompletionScanner(std::string_view prompt, Language language)
    : language_(language), lexer_(language) {
  for (const char c : prompt) push(c);
  begin_text();
}

void CompletionScanner::begin_text() {
  in_text_ = true;
  line_start_ = 0;
  const auto function =
      std::find_if(scopes_.begin(), scopes_.end(), [](const Scope& scope) { return scope.kind == Kind::function; });
  if (language_ == Language::python) {
    if (function != scopes_.end()) {
      limit_ = function->indent;
    } else if (!scopes_.empty()) {
      limit_ = scopes_.back().indent;
    }
  } else if (function != scopes_.end() || opened() == Kind::function) {
    outside_ = static_cast<std::size_t>(function - scopes_.begin());
    for (std::size_t i = outside_; i-- > 0;)
      closing_ += language_ == Language::cpp && scopes_[i].kind == Kind::type ? "\n};" : "\n}";
  }
}

std::optional<std::size_t> CompletionScanner::push(std::string_view piece) {
  for (const char c : piece) {
    if (end_) break;
    push(c);
    ++length_;
  }
  return end_;
}

void CompletionScanner::push(char c) {
  if (language_ == Language::any) return;
  const std::string word(lexer_.word());
  const CodeLexer::Kind kind = lexer_.push(c);
  if (language_ == Language::python) {
    if (first_word_ && !is_word(c)) python_word(word);
    python(c, kind);
  } else if (kind == CodeLexer::Kind::code) {
    braces(c, word);
  } else if (kind == CodeLexer::Kind::literal && type_end_) {
    complete(*type_end_);
  }
}

void CompletionScanner::braces(char c, std::string_view word) {
  if (type_end_ && c != ' ' && c != '\t' && c != '\r' && c != '\n') {
    complete(c == ';' ? length_ + 1 : *type_end_);
    type_end_.reset();
  }
  if (!is_word(c)) {
    if (word == "class" || word == "struct" || word == "union" || word == "enum" || word == "interfac")
      header_ = Header::type;
    if (word == "record" && language_ == Language::java && header_ == Header::none) header_ = Header::record;
  }
  if ((c == '(' || c == ')') && header_ != Header::record) header_ = Header::function;
  if (c == '{') scopes_.push_back({0, opened()});
  if (c == '}') {
    if (scopes_.size() == outside_) return complete(length_);
    const Kind kind = scopes_.back().kind;
    scopes_.pop_back();
    if (scopes_.size() == outside_) {
      if (kind == Kind::type && language_ == Language::cpp) {
        type_end_ = length_ + 1;
      } else {
        complete(length_ + 1);
      }
    }
  }
  if (c == ';' || c == '{' || c == '}') header_ = Header::none;
}

/// What a brace opens that comes now. A lexer's guess, good for headers that compile.
CompletionScanner::Kind CompletionScanner::opened() const {
  switch (header_) {
    case Header::none: return Kind::other;
    case Header::type:
    case Header::record: return Kind::type;
    case Header::function: return Kind::function;
  }
  return Kind::other;
}

void CompletionScanner::python(char c, CodeLexer::Kind kind) {
  const bool code = kind == CodeLexer::Kind::code;
  if (code && c == '\n') {
    if (brackets_ == 0 && !after_backslash_) {
      in_indent_ = true;
      indent_ = 0;
      line_start_ = length_ + 1;
    }
    after_backslash_ = false;
    return;
  }
  if (in_indent_) {
    constexpr std::size_t tab = 8;  // as Python itself counts
    if (code && c == ' ') {
      ++indent_;
    } else if (code && c == '\t') {
      indent_ = (indent_ / tab + 1) * tab;
    } else if (!code || (c != '\r' && c != '\f')) {
      in_indent_ = false;
      if (kind != CodeLexer::Kind::comment) python_line();
    }
  }
  if (!code) return;
  if (c == '(' || c == '[' || c == '{') ++brackets_;
  if ((c == ')' || c == ']' || c == '}') && brackets_ > 0) --brackets_;
  after_backslash_ = c == '\\' || (c == '\r' && after_backslash_);
}

/// A line of code begins, `indent_` deep.
void CompletionScanner::python_line() {
  if (in_text_) {
    if (limit_ && indent_ <= *limit_) complete(line_start_);
    return;
  }
  while (!scopes_.empty() && indent_ <= scopes_.back().indent) scopes_.pop_back();
  first_word_ = true;
}

/// A line's first word has ended.
void CompletionScanner::python_word(std::string_view word) {
  if (word.empty() || word == "async") return;
  first_word_ = false;
  if (!in_text_ && (word == "def" || word == "class"))
    scopes_.push_back({indent_, word == "def" ? Kind::function : Kind::type});
}

std::optional<std::size_t> completion_end(std::string_view prompt, std::string_view text, Language language) {
  return CompletionScanner(prompt, language).push(text);
}

}  // namespace gavel
