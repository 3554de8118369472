#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gavel/model.hpp"
#include "gavel/task.hpp"

namespace gavel {

/// The language's name as a prompt says it: "Java", "Python", "C++" or "any language".
[[nodiscard]] std::string_view spoken(Language language);

/// The generation prompt's tokens for a task. Throws invalid_argument for an empty task or text that is not UTF-8.
[[nodiscard]] std::vector<std::int32_t> generation_prompt(const Model& model, const Task& task);

/// Throws invalid_argument where prompt and own tokens exceed the context.
void require_context(const Model& model, std::size_t prompt_tokens, std::size_t own_tokens, std::string_view what);

}  // namespace gavel
