#pragma once

#include <memory>
#include <string_view>

#include "gavel/tokenizer.hpp"

namespace gavel::text {

/// A tokenizer from the bytes of a SentencePiece model; `name` appears in messages.
[[nodiscard]] std::shared_ptr<const Tokenizer> open_sentencepiece(std::string_view model, std::string_view name);

}  // namespace gavel::text
