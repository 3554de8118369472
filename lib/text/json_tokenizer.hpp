#pragma once

#include <memory>
#include <string_view>

#include "gavel/tokenizer.hpp"

namespace gavel::text {

/// A tokenizer from the bytes of a tokenizer.json; `name` appears in messages.
[[nodiscard]] std::shared_ptr<const Tokenizer> open_tokenizer_json(std::string_view json, std::string_view name);

}  // namespace gavel::text
