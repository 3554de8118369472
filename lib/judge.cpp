#include "gavel/judge.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "encoder_judge.hpp"
#include "engine/facts.hpp"
#include "engine/session.hpp"
#include "gavel/error.hpp"
#include "gavel/tokenizer.hpp"
#include "probe.hpp"
#include "task_prompt.hpp"
#include "text/check.hpp"

namespace gavel {
namespace {

constexpr std::size_t most_at_once = 64;  // candidates whose caches are held together

double log_sum_exp(std::span<const float> values) {
  const double peak = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const float value : values) sum += std::exp(static_cast<double>(value) - peak);
  return peak + std::log(sum);
}

[[noreturn]] void refuse_empty(std::size_t index) {
  throw Error(ErrorCode::invalid_argument, fmt::format("candidate {} is empty; leave it out", index));
}

/// The candidates' tokens in the generation context: those they were written with, where they are this tokenizer's.
std::vector<std::vector<std::int32_t>> written_tokens(const Model& model, const std::vector<Candidate>& candidates) {
  std::vector<std::vector<std::int32_t>> written;
  for (const Candidate& candidate : candidates) {
    const bool own = !candidate.tokens.empty() && candidate.tokenizer == model.tokenizer_digest();
    written.push_back(own ? candidate.tokens : model.tokenizer()->encode(candidate.text));
    if (written.back().empty()) refuse_empty(written.size() - 1);
  }
  return written;
}

/// Reads the shared prefix once and every candidate's own tokens after it; `visit(session, index, row, rows)` sees each
/// candidate right after it was read.
template <class Visit>
void read_all(const Model& model, const std::vector<std::int32_t>& prefix,
              const std::vector<std::vector<std::int32_t>>& own, const std::vector<std::int64_t>& taps,
              Session::Tapped tapped, const Cancel& cancel, const Visit& visit) {
  std::size_t longest = 1;
  for (const auto& tokens : own) longest = std::max(longest, tokens.size());
  require_context(model, prefix.size(), longest, "a candidate");
  Session session(model,
                  {static_cast<std::int64_t>(prefix.size()),
                   static_cast<std::int64_t>(std::min(own.size(), most_at_once)), static_cast<std::int64_t>(longest)},
                  taps);
  session.prefill(prefix, cancel);
  for (std::size_t begin = 0; begin < own.size(); begin += most_at_once) {
    const std::size_t end = std::min(own.size(), begin + most_at_once);
    std::vector<Session::Append> appends;
    for (std::size_t i = begin; i < end; ++i) appends.push_back({static_cast<std::int64_t>(i - begin), own[i]});
    session.restart();
    session.extend(appends, cancel, tapped);
    visit(session, begin, end);
  }
}

/// How many rows the session's tapped states of candidates [begin, end) have.
std::size_t tapped_rows(const std::vector<std::vector<std::int32_t>>& own, std::size_t begin, std::size_t end,
                        Session::Tapped tapped) {
  if (tapped == Session::Tapped::sums) return end - begin;
  std::size_t rows = 0;
  for (std::size_t i = begin; i < end; ++i) rows += own[i].size();
  return rows;
}

}  // namespace

class Judge::Impl {
 public:
  Impl(Model model, const JudgeOptions& options) : model_(std::move(model)) {
    const Manifest& m = manifest(model_);
    const ProbeSpec* probe_spec = probe(model_);
    const bool classifier = m.judge && m.judge->type == "classifier",
               verbalizer = m.judge && m.judge->type == "verbalizer";
    kind_ = options.kind;
    if (kind_ == JudgeKind::automatic)
      kind_ = probe_spec != nullptr ? JudgeKind::probe : classifier ? JudgeKind::classifier : JudgeKind::verbalizer;
    const bool there = kind_ == JudgeKind::probe        ? probe_spec != nullptr
                       : kind_ == JudgeKind::classifier ? classifier
                                                        : verbalizer;
    if (!there)
      throw Error(ErrorCode::unsupported,
                  fmt::format("bundle \"{}\" has no {} judge; it has {}", m.name, word(),
                              fmt::join(kinds(probe_spec != nullptr, classifier, verbalizer), ", ")));
    if (kind_ == JudgeKind::probe) {
      calibration_ = probe_spec->whole.calibration;
      rule_ = probe_spec->rule;
      curve_ = probe_spec->curve;
    } else {
      calibration_ = m.judge->calibration;
      rule_ = m.judge->rule;
      curve_ = m.judge->curve;
      const Prompt& prompt = m.prompt("judge");
      if (!m.encodes()) prompt_ = split_before(prompt, "code");
      rows_ = m.judge->positive;
      rows_.insert(rows_.end(), m.judge->negative.begin(), m.judge->negative.end());
    }
    feedback_tokens_ = options.feedback_tokens;
    if (feedback_tokens_ < 0)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("feedback_tokens is {}, expected 0 or more", feedback_tokens_));
    if (feedback_tokens_ > 0 && !(kind_ == JudgeKind::classifier && m.start))
      throw Error(ErrorCode::unsupported,
                  fmt::format("judge \"{}:{}\" writes no feedback; only a classifier on an encoder-decoder does",
                              m.name, word()));
    if (options.threshold && options.precision)
      throw Error(ErrorCode::invalid_argument, "both a threshold and a precision are given; give either");
    rule_.threshold =
        options.precision ? threshold_for(*options.precision) : options.threshold.value_or(rule_.threshold);
    rule_.abstain_band = options.abstain_band.value_or(rule_.abstain_band);
    if (!(rule_.threshold >= 0 && rule_.threshold <= 1))
      throw Error(ErrorCode::invalid_argument, fmt::format("threshold is {}, expected 0 to 1", rule_.threshold));
    if (!(rule_.abstain_band >= 0 && rule_.abstain_band <= 1))
      throw Error(ErrorCode::invalid_argument, fmt::format("abstain_band is {}, expected 0 to 1", rule_.abstain_band));
  }

  [[nodiscard]] JudgeInfo info() const {
    const bool trained = kind_ == JudgeKind::probe || manifest(model_).judge->trained;
    return {fmt::format("{}:{}", model_.name(), word()), std::string(word()), trained, model_.digest(), labels()};
  }

  [[nodiscard]] std::optional<OperatingPoint> at_precision(double precision) const {
    if (!(precision > 0 && precision <= 1))
      throw Error(ErrorCode::invalid_argument, fmt::format("precision is {}, expected above 0 to 1", precision));
    if (!curve_)
      throw Error(ErrorCode::unsupported,
                  fmt::format("bundle \"{}\" does not say what precision its {} judge has; validate it with "
                              "`gavel calibrate` on labelled candidates",
                              model_.name(), word()));
    return curve_->at_precision(precision);
  }

  std::vector<Verdict> judge(const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
    if (candidates.empty()) return {};
    if (kind_ == JudgeKind::probe) return by_probe(task, candidates, cancel);
    if (text::blank(task.prompt))
      throw Error(ErrorCode::invalid_argument, "the task is empty; give what the candidates were to solve");
    for (std::size_t i = 0; i < candidates.size(); ++i)
      if (text::blank(candidates[i].text)) refuse_empty(i);
    return manifest(model_).encodes() ? by_encoder(task, candidates, cancel) : by_prompt(task, candidates, cancel);
  }

  Model model_;

 private:
  [[nodiscard]] std::string_view word() const {
    switch (kind_) {
      case JudgeKind::probe: return "probe";
      case JudgeKind::classifier: return "classifier";
      default: return "verbalizer";
    }
  }

  static std::vector<std::string> kinds(bool with_probe, bool classifier, bool verbalizer) {
    std::vector<std::string> names;
    if (with_probe) names.emplace_back("probe");
    if (classifier) names.emplace_back("classifier");
    if (verbalizer) names.emplace_back("verbalizer");
    if (names.empty()) names.emplace_back("none; fit one with `gavel fit-probe`");
    return names;
  }

  [[nodiscard]] double threshold_for(double precision) const {
    if (const auto point = at_precision(precision)) return point->threshold;
    throw Error(
        ErrorCode::unsupported,
        fmt::format("no threshold gives judge \"{}:{}\" precision {} on {} or more of its {} validation candidates "
                    "(the highest is {:.3f}); ask for less, or use a better judge",
                    model_.name(), word(), precision, OperatingCurve::least_selected, curve_->candidates,
                    curve_->highest_precision()));
  }

  [[nodiscard]] Verdict verdict(double logit) const {
    Verdict v;
    v.logit = logit;
    v.p_correct = calibration_.probability(logit);
    v.decision = std::abs(v.p_correct - rule_.threshold) < rule_.abstain_band ? Decision::abstain
                 : v.p_correct >= rule_.threshold                             ? Decision::correct
                                                                              : Decision::wrong;
    return v;
  }

  /// Reads the candidates that this probe has not scored already, while it wrote them for the same task.
  std::vector<Verdict> by_probe(const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
    const ProbeSpec& spec = *probe(model_);
    const auto prefix = generation_prompt(model_, task);
    auto tokens = written_tokens(model_, candidates);
    std::vector<Verdict> verdicts(candidates.size());
    std::vector<std::size_t> unread;
    std::vector<std::vector<std::int32_t>> own;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].probe_logit && candidates[i].probe_input == probe_input(model_, prefix, tokens[i])) {
        verdicts[i] = verdict(static_cast<double>(*candidates[i].probe_logit));
      } else {
        unread.push_back(i);
        own.push_back(std::move(tokens[i]));
      }
    }
    if (unread.empty()) return verdicts;
    const auto tapped = sums_suffice(spec.whole) ? Session::Tapped::sums : Session::Tapped::tokens;
    read_all(model_, prefix, own, spec.layers, tapped, cancel,
             [&](Session& session, std::size_t begin, std::size_t end) {
               const std::size_t rows = tapped_rows(own, begin, end, tapped);
               std::size_t row = 0;
               for (std::size_t i = begin; i < end; ++i) {
                 ProbeScore score(spec.whole);
                 const std::size_t tokens = own[i].size();
                 if (tapped == Session::Tapped::sums)
                   score.add(session.tapped(), row++, rows, static_cast<std::int64_t>(tokens));
                 else
                   for (std::size_t token = 0; token < tokens; ++token) score.add(session.tapped(), row++, rows);
                 verdicts[unread[i]] = verdict(static_cast<double>(score.logit()));
               }
             });
    return verdicts;
  }

  std::vector<Verdict> by_prompt(const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
    const Tokenizer& tokenizer = *model_.tokenizer();
    Slots slots{{"prompt", task.prompt}, {"language", std::string(spoken(task.language))}};
    const auto prefix = encode(tokenizer, fill(prompt_.shared, slots));
    std::vector<std::vector<std::int32_t>> own;
    for (const Candidate& candidate : candidates) {
      slots["code"] = candidate.text;
      own.push_back(encode(tokenizer, fill(prompt_.rest, slots)));
    }
    std::vector<Verdict> verdicts;
    read_all(model_, prefix, own, {}, Session::Tapped::sums, cancel,
             [&](Session& session, std::size_t begin, std::size_t end) {
               const auto logits = session.logits(rows_);
               const std::size_t width = logits.size() / (end - begin);
               for (std::size_t row = 0; row < end - begin; ++row)
                 verdicts.push_back(verdict(logits.subspan(row * width, width)));
             });
    return verdicts;
  }

  std::vector<Verdict> by_encoder(const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
    std::vector<Verdict> verdicts;
    for (EncoderReading& reading : read_with_encoder(model_, task, candidates, feedback_tokens_, cancel)) {
      verdicts.push_back(verdict(reading.logits));
      verdicts.back().feedback = std::move(reading.feedback);
      verdicts.back().truncated = reading.truncated;
    }
    return verdicts;
  }

  /// A verdict from the verbalizers' rows or the labels' logits.
  [[nodiscard]] Verdict verdict(std::span<const float> values) const {
    Verdict v = verdict(log_odds(values));
    if (kind_ == JudgeKind::verbalizer) {
      v.probabilities = {Calibration::sigmoid(*v.logit), Calibration::sigmoid(-*v.logit)};
    } else if (values.size() == 1) {
      v.probabilities = {Calibration::sigmoid(values[0])};
    } else {
      const double total = log_sum_exp(values);
      for (const float value : values) v.probabilities.push_back(std::exp(static_cast<double>(value) - total));
    }
    return v;
  }

  [[nodiscard]] std::vector<std::string> labels() const {
    if (kind_ == JudgeKind::probe) return {};
    if (kind_ == JudgeKind::verbalizer) return {"correct", "wrong"};
    return manifest(model_).labels;
  }

  /// The log-odds of "correct": over the verbalizers' rows, or over the labels (one label is a log-odds itself).
  [[nodiscard]] double log_odds(std::span<const float> values) const {
    const Manifest& m = manifest(model_);
    if (kind_ == JudgeKind::verbalizer) {
      const std::size_t positive = m.judge->positive.size();
      return log_sum_exp(values.first(positive)) - log_sum_exp(values.subspan(positive));
    }
    const auto label = static_cast<std::size_t>(m.positive_label);
    if (values.size() == 1) return values[0];
    std::vector<float> others(values.begin(), values.end());
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(label));
    return static_cast<double>(values[label]) - log_sum_exp(others);
  }

  JudgeKind kind_ = JudgeKind::automatic;
  Calibration calibration_;
  DecisionRule rule_;
  std::optional<OperatingCurve> curve_;
  SplitPrompt prompt_;  // a decoder's
  std::int32_t feedback_tokens_ = 0;
  std::vector<std::int64_t> rows_;
};

Judge::Judge(Model model, const JudgeOptions& options) : impl_(std::make_unique<Impl>(std::move(model), options)) {}
Judge::~Judge() = default;
Judge::Judge(Judge&&) noexcept = default;
Judge& Judge::operator=(Judge&&) noexcept = default;
JudgeInfo Judge::info() const {
  return impl_->info();
}
std::optional<OperatingPoint> Judge::at_precision(double precision) const {
  return impl_->at_precision(precision);
}
const Model& Judge::model() const {
  return impl_->model_;
}

std::vector<Verdict> Judge::judge(const Task& task, const std::vector<Candidate>& candidates, const Cancel& cancel) {
  return impl_->judge(task, candidates, cancel);
}

namespace {

/// `visit(session, own, begin, end)` for candidates whose asked layers were read.
template <class Visit>
void read_layers(const Model& model, const Task& task, const std::vector<Candidate>& candidates,
                 const std::vector<std::int32_t>& layers, Session::Tapped tapped, const Cancel& cancel,
                 const Visit& visit) {
  const std::int64_t most = manifest(model).layers;
  for (const std::int32_t layer : layers)
    if (layer < 0 || layer > most)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("layer {} cannot be tapped; the model has 0 to {}", layer, most));
  if (candidates.empty() || layers.empty()) return;
  const auto own = written_tokens(model, candidates);
  const std::vector<std::int64_t> taps(layers.begin(), layers.end());
  read_all(model, generation_prompt(model, task), own, taps, tapped, cancel,
           [&](Session& session, std::size_t begin, std::size_t end) { visit(session, own, begin, end); });
}

}  // namespace

std::vector<std::vector<std::vector<float>>> tap(const Model& model, const Task& task,
                                                 const std::vector<Candidate>& candidates,
                                                 const std::vector<std::int32_t>& layers, const Cancel& cancel) {
  const auto hidden = static_cast<std::size_t>(manifest(model).hidden);
  std::vector<std::vector<std::vector<float>>> states;
  read_layers(model, task, candidates, layers, Session::Tapped::sums, cancel,
              [&](Session& session, const auto& own, std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) {
                  auto& candidate = states.emplace_back();
                  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
                    const auto row = session.tapped().subspan((layer * (end - begin) + i - begin) * hidden, hidden);
                    auto& mean = candidate.emplace_back(row.begin(), row.end());
                    for (float& value : mean) value /= static_cast<float>(own[i].size());
                  }
                }
              });
  return states;
}

std::vector<std::vector<std::vector<float>>> tap_tokens(const Model& model, const Task& task,
                                                        const std::vector<Candidate>& candidates,
                                                        const std::vector<std::int32_t>& layers, const Cancel& cancel) {
  const auto hidden = static_cast<std::size_t>(manifest(model).hidden);
  std::vector<std::vector<std::vector<float>>> states;
  read_layers(model, task, candidates, layers, Session::Tapped::tokens, cancel,
              [&](Session& session, const auto& own, std::size_t begin, std::size_t end) {
                const std::size_t rows = tapped_rows(own, begin, end, Session::Tapped::tokens);
                std::size_t row = 0;
                for (std::size_t i = begin; i < end; ++i) {
                  auto& candidate = states.emplace_back();
                  for (std::size_t token = 0; token < own[i].size(); ++token, ++row) {
                    auto& values = candidate.emplace_back();
                    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
                      const auto state = session.tapped().subspan((layer * rows + row) * hidden, hidden);
                      values.insert(values.end(), state.begin(), state.end());
                    }
                  }
                }
              });
  return states;
}

}  // namespace gavel
