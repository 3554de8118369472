#pragma once

#include <string>
#include <string_view>

namespace gavel::text {

/// Unicode's normalisation forms (UAX 15).
enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Valid UTF-8 in a normalisation form, as the reference library computes it: it knows less of Unicode than newer ones.
[[nodiscard]] std::string normal_form(std::string_view text, NormalForm form);

}  // namespace gavel::text
