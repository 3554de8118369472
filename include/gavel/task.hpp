#pragma once

#include <string>

namespace gavel {

/// The language a task's solution is written in. `any` asks for no language in particular.
enum class Language { any, java, python, cpp };

/// How a task is put to the model.
enum class Prompting {
  completion,  ///< the prompt is the beginning of a program; the model continues it
  chat         ///< the prompt is an instruction; the answer's first code block is the candidate
};

/// One programming task, as UTF-8.
struct Task {
  std::string prompt;                 ///< code prefix (completion) or instruction (chat); never empty
  Language language = Language::any;  ///< chooses stop rules and the chat wording
  Prompting prompting = Prompting::completion;
  std::string id;  ///< the caller's own name for it; may be empty
};

}  // namespace gavel
