#include "task_prompt.hpp"

#include <fmt/format.h>

#include "engine/facts.hpp"
#include "gavel/error.hpp"
#include "gavel/tokenizer.hpp"
#include "text/check.hpp"

namespace gavel {

std::string_view spoken(Language language) {
  switch (language) {
    case Language::any: return "any language";
    case Language::java: return "Java";
    case Language::python: return "Python";
    case Language::cpp: return "C++";
  }
  return "any language";
}

std::vector<std::int32_t> generation_prompt(const Model& model, const Task& task) {
  if (text::blank(task.prompt))
    throw Error(ErrorCode::invalid_argument, fmt::format("the task{} is empty; give a code prefix or an instruction",
                                                         task.id.empty() ? "" : " \"" + task.id + "\""));
  if (manifest(model).encodes())
    throw Error(
        ErrorCode::unsupported,
        fmt::format("bundle \"{}\" is an encoder: it judges candidates and cannot continue a prompt; use it as a "
                    "judge",
                    model.name()));
  const Prompt& prompt = manifest(model).prompt(task.prompting == Prompting::chat ? "chat" : "completion");
  const auto pieces = fill(prompt, {{"prompt", task.prompt}, {"language", std::string(spoken(task.language))}});
  return encode(*model.tokenizer(), pieces);
}

void require_context(const Model& model, std::size_t prompt_tokens, std::size_t own_tokens, std::string_view what) {
  const auto context = static_cast<std::size_t>(model.context());
  if (prompt_tokens + own_tokens > context)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} of {} tokens after a prompt of {} tokens exceeds the context of {} tokens; shorten "
                            "the task or ask for fewer tokens",
                            what, own_tokens, prompt_tokens, context));
}

}  // namespace gavel
