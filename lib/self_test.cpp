#include <fmt/format.h>

#include <cmath>

#include "engine/facts.hpp"
#include "engine/session.hpp"
#include "gavel/error.hpp"
#include "gavel/judge.hpp"
#include "gavel/tokenizer.hpp"

namespace gavel {
namespace {

Language language_named(const std::string& name) {
  if (name == "java") return Language::java;
  if (name == "python") return Language::python;
  if (name == "cpp") return Language::cpp;
  return Language::any;
}

std::string shown(const std::string& prompt) {
  return prompt.size() <= 40 ? prompt : prompt.substr(0, 37) + "...";
}

void check_logits(const Model& model, const Manifest::SelfTest& test) {
  Session session(model, {static_cast<std::int64_t>(test.ids.size()), 1, 1});
  session.prefill(test.ids, {});
  const auto logits = session.logits(test.logit_ids);
  for (std::size_t i = 0; i < test.logits.size(); ++i)
    if (!(std::abs(logits[i] - test.logits[i]) <= test.tolerance))
      throw Error(
          ErrorCode::corrupt_bundle,
          fmt::format("self-test of \"{}\": after \"{}\" token {} has logit {:.5f}, the reference says {:.5f} "
                      "(tolerance {}); the weights or the program are not what was exported",
                      model.name(), shown(test.prompt), test.logit_ids[i], logits[i], test.logits[i], test.tolerance));
}

}  // namespace

void Model::self_test() const {
  const Manifest& m = manifest(*this);
  if (m.self_tests.empty())
    throw Error(ErrorCode::corrupt_bundle, fmt::format("bundle \"{}\" holds no self-test", m.name));
  for (const Manifest::SelfTest& test : m.self_tests) {
    if (const auto ids = tokenizer()->encode(test.prompt); ids != test.ids)
      throw Error(ErrorCode::corrupt_bundle,
                  fmt::format("self-test of \"{}\": \"{}\" encodes to other tokens than the reference's; the tokenizer "
                              "is not what was exported",
                              m.name, shown(test.prompt)));
    if (!test.logits.empty()) check_logits(*this, test);
    if (test.judge) {
      JudgeOptions options;
      options.kind = m.head == "classifier" ? JudgeKind::classifier : JudgeKind::verbalizer;
      Candidate candidate;
      candidate.text = test.judge->code;
      const double p =
          Judge(*this, options)
              .judge({test.judge->prompt, language_named(test.judge->language), Prompting::completion, ""}, {candidate})
              .front()
              .p_correct;
      if (!(std::abs(p - test.judge->p_correct) <= test.judge->tolerance))
        throw Error(ErrorCode::corrupt_bundle,
                    fmt::format("self-test of \"{}\": P(correct) is {:.6f}, the reference says {:.6f} (tolerance {})",
                                m.name, p, test.judge->p_correct, test.judge->tolerance));
    }
  }
}

}  // namespace gavel
