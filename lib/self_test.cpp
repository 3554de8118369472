#include <fmt/format.h>

#include <cmath>

#include "engine/encoder.hpp"
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

void compare(const Model& model, const Manifest::SelfTest& test, const char* what, std::int64_t id, float found,
             float expected) {
  if (!(std::abs(found - expected) <= test.tolerance))
    throw Error(ErrorCode::corrupt_bundle,
                fmt::format("self-test of \"{}\": after \"{}\" {} {} has logit {:.5f}, the reference says {:.5f} "
                            "(tolerance {}); the weights or the program are not what was exported",
                            model.name(), shown(test.prompt), what, id, found, expected, test.tolerance));
}

/// The expected ones among all logits there are.
void check(const char* what, const Model& model, const Manifest::SelfTest& test, std::span<const float> logits,
           const std::vector<std::int64_t>& ids, const std::vector<float>& expected) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<std::size_t>(ids[i]);
    if (id >= logits.size())
      throw Error(ErrorCode::corrupt_bundle,
                  fmt::format("self-test of \"{}\": there is no {} {}", model.name(), what, id));
    compare(model, test, what, ids[i], logits[id], expected[i]);
  }
}

void check_logits(const Model& model, const Manifest::SelfTest& test) {
  Session session(model, {static_cast<std::int64_t>(test.ids.size()), 1, 1});
  session.prefill(test.ids, {});
  if (manifest(model).head == "classifier") {  // whose logits are of all labels, not of the asked ones
    check("label", model, test, session.logits(), test.logit_ids, test.logits);
    return;
  }
  const auto logits = session.logits(test.logit_ids);
  for (std::size_t i = 0; i < test.logits.size(); ++i)
    compare(model, test, "token", test.logit_ids[i], logits[i], test.logits[i]);
}

/// The labels' logits, and where the decoder writes, those of its first token.
void check_encoder(const Model& model, const Manifest::SelfTest& test) {
  Encoder encoder(model);
  check("label", model, test, encoder.classify({&test.ids, 1}, {}), test.logit_ids, test.logits);
  if (test.written.empty()) return;
  encoder.read({&test.ids, 1}, 1, {});
  const Encoder::Next start{0, manifest(model).start.value()};
  check("written token", model, test, encoder.step({&start, 1}, {}), test.written_ids, test.written);
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
    if (m.encodes())
      check_encoder(*this, test);
    else if (!test.logits.empty())
      check_logits(*this, test);
    if (test.judge) {
      JudgeOptions options;
      options.kind = m.head == "classifier" ? JudgeKind::classifier : JudgeKind::verbalizer;
      Candidate candidate;
      candidate.text = test.judge->code;
      const double logit =
          Judge(*this, options)
              .judge({test.judge->prompt, language_named(test.judge->language), Prompting::completion, ""}, {candidate})
              .front()
              .logit.value();
      const double p = Calibration::sigmoid(logit);
      if (!(std::abs(p - test.judge->p_correct) <= test.judge->tolerance))
        throw Error(ErrorCode::corrupt_bundle,
                    fmt::format("self-test of \"{}\": P(correct) is {:.6f}, the reference says {:.6f} (tolerance {})",
                                m.name, p, test.judge->p_correct, test.judge->tolerance));
    }
  }
}

}  // namespace gavel
