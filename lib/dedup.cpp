#include "gavel/dedup.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

#include "code_lexer.hpp"

namespace gavel {
namespace {

using Kind = CodeLexer::Kind;

// Longest first. Without >> and its kin, which close two template argument lists as often as they shift; with the
// starts of comments, which two operators must not become by standing together.
constexpr std::array<std::string_view, 34> operators{
    "<=>", "<<=", "**=", "//=", "...", "->*", "++", "--", "->", "::", "&&", "||", "==", "!=", "<=", ">=", "+=",
    "-=",  "*=",  "/=",  "%=",  "&=",  "|=",  "^=", "<<", "**", "//", "/*", ":=", "@=", ".*", "##", "[[", "]]"};

/// The length of the operator at the start of `text`.
std::size_t operator_length(std::string_view text) {
  for (const std::string_view known : operators)
    if (text.starts_with(known)) return known.size();
  return 1;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

/// Puts tokens together with a space only where they would read as others without it.
class Joiner {
 public:
  enum class Token { none, word, literal, sign };

  void add(Token kind, std::string_view token) {
    const bool both_named = last_kind_ != Token::none && last_kind_ != Token::sign && kind != Token::sign;
    if (both_named || (last_kind_ == Token::sign && kind == Token::sign && would_merge(token))) text_ += ' ';
    last_start_ = text_.size();
    text_ += token;
    last_kind_ = kind;
  }

  /// Text that is no token; none is joined across it.
  void verbatim(std::string_view text) {
    text_ += text;
    last_kind_ = Token::none;
  }

  [[nodiscard]] bool empty() const { return text_.empty(); }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  [[nodiscard]] bool would_merge(std::string_view token) const {
    const std::string_view last = std::string_view(text_).substr(last_start_);
    return operator_length(std::string(last) + std::string(token)) > last.size();
  }

  std::string text_;
  std::size_t last_start_ = 0;
  Token last_kind_ = Token::none;
};

/// One walk through a program, with what each byte is.
class Normaliser {
 public:
  Normaliser(std::string_view code, Language language) : code_(code), language_(language), kinds_(code.size()) {
    CodeLexer lexer(language);
    for (std::size_t i = 0; i < code.size(); ++i) {
      kinds_[i] = lexer.push(code[i]);
      if (lexer.took_previous()) kinds_[i - 1] = Kind::comment;
    }
  }

  std::string run() {
    while (at_ < code_.size()) {
      if (kinds_[at_] == Kind::comment) {
        ++at_;
      } else if (kinds_[at_] == Kind::code && is_space(code_[at_])) {
        space();
      } else if (language_ == Language::cpp && line_start_ && code_[at_] == '#') {
        directive();
      } else {
        token();
      }
    }
    return joined_.take();
  }

 private:
  void space() {
    const char c = code_[at_++];
    if (c == '\n' && brackets_ == 0) {
      line_start_ = true;
      indentation_.clear();
    } else if (line_start_ && (c == ' ' || c == '\t')) {
      indentation_ += c;
    }
  }

  void token() {
    if (language_ == Language::python && joins_lines(at_)) {
      at_ = code_.find('\n', at_) + 1;
      return;
    }
    if (line_start_ && (language_ == Language::python || after_directive_))
      joined_.verbatim((joined_.empty() ? "" : "\n") + (language_ == Language::python ? indentation_ : ""));
    line_start_ = after_directive_ = false;
    const std::size_t start = at_;
    if (kinds_[at_] == Kind::literal) {
      while (at_ < code_.size() && kinds_[at_] == Kind::literal) ++at_;
      joined_.add(Joiner::Token::literal, code_.substr(start, at_ - start));
    } else if (is_named(at_)) {
      while (at_ < code_.size() && kinds_[at_] == Kind::code && is_named(at_)) ++at_;
      joined_.add(Joiner::Token::word, code_.substr(start, at_ - start));
    } else {
      std::size_t length = operator_length(code_.substr(at_));
      while (length > 1 && kinds_[at_ + length - 1] != Kind::code) --length;
      at_ += length;
      if (language_ == Language::python && length == 1) count_bracket(code_[start]);
      joined_.add(Joiner::Token::sign, code_.substr(start, length));
    }
  }

  /// A preprocessor line, which ends where its line does, and in which `f (x)` is not `f(x)`.
  void directive() {
    std::string line;
    bool gap = false;
    for (; at_ < code_.size(); ++at_) {
      const char c = code_[at_];
      if (kinds_[at_] == Kind::code && c == '\n') break;
      if (kinds_[at_] == Kind::code && joins_lines(at_)) {
        at_ = code_.find('\n', at_);
        gap = true;
      } else if (kinds_[at_] == Kind::comment || (kinds_[at_] == Kind::code && is_space(c))) {
        gap = true;
      } else {
        if (std::exchange(gap, false)) line += ' ';
        line += c;
      }
    }
    joined_.verbatim((joined_.empty() ? "" : "\n") + line);
    after_directive_ = true;
  }

  void count_bracket(char c) {
    if (c == '(' || c == '[' || c == '{') ++brackets_;
    if ((c == ')' || c == ']' || c == '}') && brackets_ > 0) --brackets_;
  }

  /// A backslash at a line's end: the next line belongs to this one.
  [[nodiscard]] bool joins_lines(std::size_t i) const {
    const std::string_view rest = code_.substr(i);
    return rest.starts_with("\\\n") || rest.starts_with("\\\r\n");
  }

  /// A quote that is code separates digits.
  [[nodiscard]] bool is_named(std::size_t i) const { return is_word(code_[i]) || code_[i] == '\''; }

  std::string_view code_;
  Language language_;
  std::vector<Kind> kinds_;
  std::size_t at_ = 0;
  Joiner joined_;
  bool line_start_ = true, after_directive_ = false;
  std::string indentation_;  // Python
  int brackets_ = 0;         // Python: within them a line's end is white space
};

/// Of an unknown language only this much is safe to say: white space at the ends of lines and empty lines do not
/// matter.
std::string without_line_ends(std::string_view code) {
  std::string text;
  while (!code.empty()) {
    const std::size_t end = std::min(code.find('\n'), code.size());
    std::string_view line = code.substr(0, end);
    code.remove_prefix(std::min(end + 1, code.size()));
    while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
    if (line.empty()) continue;
    if (!text.empty()) text += '\n';
    text += line;
  }
  return text;
}

}  // namespace

std::string normal_form(std::string_view code, Language language) {
  return language == Language::any ? without_line_ends(code) : Normaliser(code, language).run();
}

std::vector<std::size_t> representatives(const std::vector<Candidate>& candidates, Language language) {
  std::map<std::vector<std::int32_t>, std::size_t> by_tokens;
  std::unordered_map<std::string, std::size_t> by_form;
  std::vector<std::size_t> first(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    first[i] = by_form.try_emplace(normal_form(candidates[i].text, language), i).first->second;
    if (!candidates[i].tokens.empty())
      first[i] = std::min(first[i], by_tokens.try_emplace(candidates[i].tokens, i).first->second);
    first[i] = std::min(first[i], first[first[i]]);
  }
  return first;
}

}  // namespace gavel
