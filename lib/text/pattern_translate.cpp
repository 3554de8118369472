#include <algorithm>
#include <array>

#include "gavel/error.hpp"
#include "pattern.hpp"
#include "unicode.hpp"

namespace gavel::text {

namespace {

// Unicode's White_Space, for the inside of a class: PCRE2's \s also holds U+180E.
constexpr std::string_view white_space =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

constexpr std::array<std::string_view, 30> categories = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me",
                                                         "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi",
                                                         "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl"};

bool is_ascii_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Translation {
 public:
  explicit Translation(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else {
        character(c);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    throw Error(ErrorCode::unsupported, "pattern \"" + std::string(pattern_) + "\": " + std::string(construct) +
                                            " at byte " + std::to_string(at_) + " is not known to this build");
  }

  void character(char c) {
    const std::string_view rest = pattern_.substr(at_);
    if (rest.starts_with("(?")) {
      group(rest);
      return;
    }
    if (rest.starts_with("(*")) refuse("(*");
    if (rest.starts_with("{,")) refuse("{,");
    if (rest.starts_with("}+")) refuse("}+");
    if (c == '[') {
      in_class_ = true;
      out_ += c;
      ++at_;
      if (at_ < pattern_.size() && pattern_[at_] == '^') out_ += pattern_[at_++];
      if (at_ < pattern_.size() && pattern_[at_] == ']') refuse("an empty class");
      first_member_ = at_;
      return;
    }
    out_ += c;
    ++at_;
  }

  void group(std::string_view rest) {
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
      if (!rest.starts_with(known)) continue;
      out_ += known;
      at_ += known.size();
      return;
    }
    refuse("the group " + std::string(rest.substr(0, 4)));
  }

  void class_character(char c) {
    if (c == '[') refuse("a class within a class");
    if (pattern_.substr(at_).starts_with("&&")) refuse("&&");
    if (c == ']') in_class_ = false;
    out_ += c;
    ++at_;
  }

  void escape() {
    if (at_ + 1 == pattern_.size()) refuse("a backslash at the end");
    const char c = pattern_[at_ + 1];
    switch (c) {
      case 's': put_class(white_space, false); return skip(2);
      case 'S': put_class(white_space, true); return skip(2);
      case 'd': put_class(R"(\p{Nd})" + newer_characters("Nd"), false); return skip(2);
      case 'p':
      case 'P': return property(c == 'P');
      case 'v': out_ += R"(\x{B})"; return skip(2);
      case 'u': return code_point(4);
      case 'x': return code_point(2);
      case 'n':
      case 'r':
      case 't':
      case 'f': break;
      default:
        if (is_ascii_letter_or_digit(c) || static_cast<unsigned char>(c) >= 0x80) refuse(pattern_.substr(at_, 2));
    }
    out_ += pattern_.substr(at_, 2);
    skip(2);
  }

  void skip(std::size_t count) { at_ += count; }

  void code_point(std::size_t digits) {
    const std::string_view hex = pattern_.substr(at_ + 2, digits);
    // \x80 and above is a byte to Oniguruma, a character to PCRE2.
    if (hex.size() < digits || !std::all_of(hex.begin(), hex.end(), is_hex) || (digits == 2 && hex[0] >= '8')) {
      refuse(pattern_.substr(at_, digits + 2));
    }
    out_ += "\\x{" + std::string(hex) + "}";
    skip(digits + 2);
  }

  void property(bool negated) {
    const std::size_t close = pattern_.find('}', at_);
    if (pattern_.substr(at_ + 2, 1) != "{" || close == std::string_view::npos) refuse(pattern_.substr(at_, 3));
    const std::string_view whole = pattern_.substr(at_, close + 1 - at_);
    std::string_view name = whole.substr(3, whole.size() - 4);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    if (std::find(categories.begin(), categories.end(), name) == categories.end()) refuse(whole);
    put_class("\\p{" + std::string(name) + "}" + newer_characters(name), negated);
    skip(whole.size());
  }

  void put_class(std::string_view members, bool negated) {
    if (!in_class_) {
      out_ += (negated ? "[^" : "[") + std::string(members) + "]";
      return;
    }
    // Within a class a negated set would need a class of its own, and a hyphen beside a set would make a range.
    if (negated) refuse("a negated set within a class");
    const bool hyphen_before = at_ > first_member_ + 1 && pattern_[at_ - 1] == '-' && pattern_[at_ - 2] != '\\';
    if (hyphen_before) refuse("a range that ends in a set");
    out_ += members;
    after_set();
  }

  void after_set() {
    // A hyphen straight after a set is a plain hyphen to Oniguruma; say so to PCRE2.
    const std::size_t length = pattern_[at_ + 1] == 'p' ? pattern_.find('}', at_) + 1 - at_ : 2;
    if (pattern_.substr(at_ + length, 1) == "-") {
      out_ += "\\-";
      ++at_;
    }
  }

  std::string_view pattern_;
  std::string out_;
  std::size_t at_ = 0;
  std::size_t first_member_ = 0;  // of the class we are in
  bool in_class_ = false;
};

}  // namespace

std::string translate_pattern(std::string_view pattern) {
  return Translation(pattern).run();
}

std::string literal_pattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = is_ascii_letter_or_digit(c) || static_cast<unsigned char>(c) >= 0x80;
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace gavel::text
