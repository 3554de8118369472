#include "code_lexer.hpp"

#include <utility>

namespace gavel {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

CodeLexer::Kind CodeLexer::push(char c) {
  took_previous_ = false;
  if (language_ == Language::any) return Kind::code;
  switch (state_) {
    case State::code: return code(c);
    case State::line_comment:
      if (c == '\n' && !after_backslash_) {
        state_ = State::code;
        return code(c);
      }
      // C++ joins lines before it looks for comments.
      after_backslash_ = language_ == Language::cpp && (c == '\\' || (c == '\r' && after_backslash_));
      return Kind::comment;
    case State::block_comment:
      if (after_star_ && c == '/') state_ = State::code;
      after_star_ = c == '*';
      return Kind::comment;
    case State::one_quote:
    case State::two_quotes:
    case State::string: return string(c);
    case State::raw_delimiter:
    case State::raw_string: return raw(c);
  }
  return Kind::code;
}

CodeLexer::Kind CodeLexer::code(char c) {
  const bool after_slash = std::exchange(after_slash_, false);
  if (is_word(c)) {
    if (word_.size() < 8) word_ += c;
    return Kind::code;
  }
  if (c == '\'' && language_ == Language::cpp && !word_.empty() && word_[0] >= '0' && word_[0] <= '9')
    return Kind::code;  // separates digits
  const std::string word = std::exchange(word_, {});
  if (c == '"' || c == '\'') {
    quote_ = c;
    triple_ = after_backslash_ = false;
    closing_ = 0;
    const bool is_raw = c == '"' && language_ == Language::cpp &&
                        (word == "R" || word == "u8R" || word == "uR" || word == "UR" || word == "LR");
    state_ = is_raw ? State::raw_delimiter : State::one_quote;
    if (is_raw) raw_end_.assign(1, ')');
    return Kind::literal;
  }
  if (language_ == Language::python && c == '#') {
    state_ = State::line_comment;
    after_backslash_ = false;
    return Kind::comment;
  }
  if (braces() && after_slash && (c == '/' || c == '*')) {
    state_ = c == '/' ? State::line_comment : State::block_comment;
    after_star_ = after_backslash_ = false;
    took_previous_ = true;
    return Kind::comment;
  }
  after_slash_ = c == '/';
  return Kind::code;
}

CodeLexer::Kind CodeLexer::string(char c) {
  if (state_ == State::one_quote && c == quote_) {
    const bool may_be_triple = language_ == Language::python || (language_ == Language::java && quote_ == '"');
    state_ = may_be_triple ? State::two_quotes : State::code;
    return Kind::literal;
  }
  if (state_ == State::two_quotes) {
    if (c != quote_) {  // it was the empty string
      state_ = State::code;
      return code(c);
    }
    state_ = State::string;
    triple_ = true;
    return Kind::literal;
  }
  state_ = State::string;
  if (std::exchange(after_backslash_, false)) {
    after_backslash_ = c == '\r';
    return Kind::literal;
  }
  if (c == '\n' && !triple_) {
    state_ = State::code;
    return code(c);
  }
  after_backslash_ = c == '\\';
  closing_ = c == quote_ ? closing_ + 1 : 0;
  if (closing_ == (triple_ ? 3U : 1U)) state_ = State::code;
  return Kind::literal;
}

CodeLexer::Kind CodeLexer::raw(char c) {
  if (state_ == State::raw_delimiter) {
    constexpr std::size_t longest = 16;
    if (c == '(') {
      raw_end_ += '"';
      closing_ = 0;
      state_ = State::raw_string;
    } else if (c == ')' || c == '\\' || c == ' ' || c == '\n' || c == '"' || raw_end_.size() > longest) {
      return string(c);  // no raw string after all
    } else {
      raw_end_ += c;
    }
    return Kind::literal;
  }
  if (c == raw_end_[closing_]) {
    ++closing_;
  } else {
    closing_ = c == ')' ? 1 : 0;
  }
  if (closing_ == raw_end_.size()) state_ = State::code;
  return Kind::literal;
}

}  // namespace gavel
