#include "json_reader.hpp"

#include <charconv>
#include <limits>

#include "utf8.hpp"

namespace gavel::text {

namespace {
constexpr std::size_t deepest = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// 10^exponent, correctly rounded; exponent from 0 to 308.
double power_of_ten(int exponent) {
  const std::string written = "1e" + std::to_string(exponent);
  double power = 0;
  std::from_chars(written.data(), written.data() + written.size(), power);
  return power;
}

// serde_json's f64_from_parts.
double scaled(std::uint64_t digits, std::int64_t exponent) {
  constexpr int largest = 308;
  auto value = static_cast<double>(digits);
  while (exponent < -largest && value != 0) {
    value /= power_of_ten(largest);
    exponent += largest;
  }
  if (value == 0) return value;
  return exponent < 0 ? value / power_of_ten(static_cast<int>(-exponent))
                      : value * power_of_ten(static_cast<int>(exponent));
}
}  // namespace

void JsonReader::fail(std::string_view what) const {
  throw Error(ErrorCode::corrupt_bundle, std::string(name_) + " is not a valid tokenizer: " + std::string(what) +
                                             " at byte " + std::to_string(at_) + "; export the bundle again");
}

void JsonReader::space() {
  while (at_ < json_.size() && (json_[at_] == ' ' || json_[at_] == '\n' || json_[at_] == '\r' || json_[at_] == '\t')) {
    ++at_;
  }
}

char JsonReader::peek() {
  space();
  if (at_ == json_.size()) fail("the file ends within a value");
  return json_[at_];
}

void JsonReader::expect(char wanted) {
  if (peek() != wanted) fail(std::string("expected '") + wanted + "'");
  ++at_;
}

void JsonReader::end() {
  space();
  if (at_ != json_.size()) fail("expected the end of the file");
}

JsonReader JsonReader::within(std::string_view value) const {
  const auto start = static_cast<std::size_t>(value.data() - json_.data());
  JsonReader inner(json_.substr(0, start + value.size()), name_);
  inner.at_ = start;
  return inner;
}

std::string_view JsonReader::string() {
  expect('"');
  const std::size_t start = at_;
  for (; at_ < json_.size(); ++at_) {
    const char c = json_[at_];
    if (c == '"') return json_.substr(start, at_++ - start);
    if (c == '\\') {
      escaped(start);
      return scratch_;
    }
    if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
  }
  fail("a string without an end");
}

void JsonReader::escaped(std::size_t from) {
  scratch_.assign(json_.substr(from, at_ - from));
  while (at_ < json_.size()) {
    const char c = json_[at_++];
    if (c == '"') return;
    if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
    if (c != '\\') {
      scratch_.push_back(c);
      continue;
    }
    if (at_ == json_.size()) break;
    switch (json_[at_++]) {
      case '"': scratch_ += '"'; break;
      case '\\': scratch_ += '\\'; break;
      case '/': scratch_ += '/'; break;
      case 'b': scratch_ += '\b'; break;
      case 'f': scratch_ += '\f'; break;
      case 'n': scratch_ += '\n'; break;
      case 'r': scratch_ += '\r'; break;
      case 't': scratch_ += '\t'; break;
      case 'u': {
        char32_t code = hex4();
        if (code >= 0xD800 && code < 0xDC00) {
          if (json_.substr(at_, 2) != "\\u") fail("half of a surrogate pair");
          at_ += 2;
          const char32_t low = hex4();
          if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
          fail("half of a surrogate pair");
        }
        append_utf8(scratch_, code);
        break;
      }
      default: fail("unknown escape in a string");
    }
  }
  fail("a string without an end");
}

char32_t JsonReader::hex4() {
  const std::string_view digits = json_.substr(at_, 4);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() < 4 || error != std::errc() || end != digits.data() + 4) fail("expected four hexadecimal digits");
  at_ += 4;
  return value;
}

std::int64_t JsonReader::integer() {
  (void)peek();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(json_.data() + at_, json_.data() + json_.size(), value);
  if (error != std::errc()) fail("expected an integer");
  at_ = static_cast<std::size_t>(end - json_.data());
  return value;
}

double JsonReader::number() {
  const bool negative = peek() == '-';
  if (negative) ++at_;
  constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t digits = 0;
  std::int64_t exponent = 0;
  bool full = false;  // no room for further digits
  const std::size_t start = at_;
  const auto read_digits = [&](bool fraction) {
    for (; at_ < json_.size() && is_digit(json_[at_]); ++at_) {
      const auto digit = static_cast<std::uint64_t>(json_[at_] - '0');
      full = full || digits > (largest - digit) / 10;
      if (!full) digits = digits * 10 + digit;
      if (full != fraction) exponent += fraction ? -1 : 1;
    }
  };
  read_digits(false);
  if (at_ == start) fail("expected a number");
  if (at_ < json_.size() && json_[at_] == '.') {
    ++at_;
    read_digits(true);
  }
  if (at_ < json_.size() && (json_[at_] == 'e' || json_[at_] == 'E')) {
    ++at_;
    if (at_ < json_.size() && json_[at_] == '+') ++at_;
    exponent += integer();
  }
  constexpr std::int64_t limit = 100'000;
  if (exponent > 308 || exponent < -limit) fail("a number out of range");
  const double value = scaled(digits, exponent);
  return negative ? -value : value;
}

std::string_view JsonReader::raw() {
  (void)peek();
  const std::size_t start = at_;
  std::string open;
  do {
    const char c = peek();
    if (c == '"') {
      (void)string();
    } else if (c == '{' || c == '[') {
      if (open.size() == deepest) fail("nested too deeply");
      open.push_back(c);
      ++at_;
    } else if (c == '}' || c == ']') {
      if (open.empty() || open.back() != (c == '}' ? '{' : '[')) fail("a bracket that was not opened");
      open.pop_back();
      ++at_;
    } else if (c == ',' || c == ':') {
      if (open.empty()) fail("expected a value");
      ++at_;
    } else {
      while (at_ < json_.size() && std::string_view(" \n\r\t,:{}[]\"").find(json_[at_]) == std::string_view::npos)
        ++at_;
    }
  } while (!open.empty());
  return json_.substr(start, at_ - start);
}

std::optional<std::string_view> JsonReader::member(std::string_view key) const {
  JsonReader reader(*this);
  reader.expect('{');
  while (reader.peek() != '}') {
    const bool found = reader.string() == key;
    reader.expect(':');
    const std::string_view value = reader.raw();
    if (found) return value;
    if (reader.peek() == ',') reader.expect(',');
  }
  return std::nullopt;
}

}  // namespace gavel::text
