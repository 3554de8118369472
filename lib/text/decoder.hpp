#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gavel::text {

/// How tokens become text again: what is done to each token, and to the start of the joined text.
struct Decoder {
  bool byte_level = false;                                        ///< tokens are written in the byte alphabet
  std::vector<std::pair<std::string, std::string>> replacements;  ///< in each token, in order
  bool byte_fallback = false;                                     ///< <0xNN> is a byte
  std::string left_out_of_first;                                  ///< all of it, from the first token alone
  std::string strip;                                              ///< taken off the start of the joined text ...
  int strip_count = 0;                                            ///< ... at most so many times

  /// The bytes a written token stands for; `first`: where it is the first of a text.
  [[nodiscard]] std::string bytes(std::string_view written, bool first = false) const;

  /// The joined text without what is to be stripped.
  [[nodiscard]] std::string_view stripped(std::string_view joined) const;
};

/// The byte that a token written <0xNN> stands for, or -1.
[[nodiscard]] int byte_of_token(std::string_view written);

}  // namespace gavel::text
