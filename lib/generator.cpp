#include "gavel/generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <unordered_set>

#include "completion.hpp"
#include "engine/facts.hpp"
#include "engine/parallel.hpp"
#include "engine/session.hpp"
#include "gavel/error.hpp"
#include "gavel/tokenizer.hpp"
#include "probe.hpp"
#include "task_prompt.hpp"
#include "text/check.hpp"

namespace gavel {
namespace {

constexpr std::int32_t most_candidates = 1024;

void validate(const GenerateOptions& options, const Model& model) {
  const auto refuse = [](const std::string& what) { throw Error(ErrorCode::invalid_argument, what); };
  if (options.candidates < 1 || options.candidates > most_candidates)
    refuse(fmt::format("candidates is {}, expected 1 to {}", options.candidates, most_candidates));
  if (options.max_tokens < 1) refuse(fmt::format("max_tokens is {}, expected 1 or more", options.max_tokens));
  for (const std::string& stop : options.stop) {
    if (stop.empty()) refuse("a stop string is empty; leave it out");
    text::require_utf8(stop);
  }
  for (const std::int32_t token : options.stop_tokens)
    if (token < 0 || token >= model.tokenizer()->size())
      refuse(fmt::format("stop token {} is outside the vocabulary of {}", token, model.tokenizer()->size()));
  if (!(options.stop_below >= 0 && options.stop_below <= 1))
    refuse(fmt::format("stop_below is {}, expected 0 to 1", options.stop_below));
  if (options.stop_below > 0) {
    if (!options.probe) refuse("stop_below is given without the probe that is to stop; leave the probe on");
    if (probe(model) == nullptr || probe(model)->early.empty())
      throw Error(ErrorCode::unsupported,
                  fmt::format("bundle \"{}\" has no early probes to stop candidates by; fit one with `gavel fit-probe`",
                              model.name()));
  }
  gavel::validate(options.sampling);
}

class Seconds {
 public:
  explicit Seconds(double& total) : total_(total) {}
  ~Seconds() { total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }
  Seconds(const Seconds&) = delete;
  Seconds& operator=(const Seconds&) = delete;

 private:
  double& total_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// The distinct tokens of a growing text, in order of appearance.
class TokenSet {
 public:
  void add(std::int32_t token) {
    if (known_.insert(token).second) order_.push_back(token);
  }
  [[nodiscard]] std::span<const std::int32_t> tokens() const { return order_; }

 private:
  std::unordered_set<std::int32_t> known_;
  std::vector<std::int32_t> order_;
};

/// One candidate while it is written.
class Writer {
 public:
  Writer(const Task& task, const GenerateOptions& options, const Model& model, std::span<const std::int32_t> prompt,
         std::int32_t index, std::int64_t most_tokens)
      : task_(task),
        options_(options),
        most_tokens_(most_tokens),
        decoder_(model.tokenizer(), task.prompting == Prompting::completion),
        stops_(options.stop),
        sampler_(options.sampling) {
    if (options.language_stops && task.prompting == Prompting::completion) scanner_.emplace(task.prompt, task.language);
    if (options.probe && probe(model) != nullptr) {
      score_.emplace(probe(model)->whole);
      if (options.stop_below > 0)
        for (const ProbeSpec::Head& head : probe(model)->early) early_.emplace_back(head);
    }
    if (options.sampling.repetition_penalty != 1.0F)
      for (const std::int32_t token : prompt) seen_.add(token);
    candidate.index = index;
    candidate.tokenizer = model.tokenizer_digest();
  }

  Candidate candidate;
  bool finished = false;
  Draw drawn;

  void draw(std::span<const float> logits) {
    drawn = sampler_.draw(logits, seen_.tokens(), present_.tokens(), static_cast<std::uint32_t>(candidate.index),
                          static_cast<std::uint32_t>(candidate.tokens.size()));
  }

  /// Takes the drawn token in, and ends the candidate where it is over.
  void take(std::span<const std::int32_t> stop_tokens) {
    if (std::find(stop_tokens.begin(), stop_tokens.end(), drawn.token) != stop_tokens.end()) {
      look(decoder_.finish());
      if (!finished) finish(FinishReason::stop_token, candidate.raw.size());
      return;
    }
    candidate.tokens.push_back(drawn.token);
    candidate.logprobs.push_back(drawn.logprob);
    if (options_.sampling.repetition_penalty != 1.0F) seen_.add(drawn.token);
    if (options_.sampling.presence_penalty != 0.0F) present_.add(drawn.token);
    look(decoder_.push(drawn.token));
    if (!finished && static_cast<std::int64_t>(candidate.tokens.size()) >= most_tokens_) {
      look(decoder_.finish());
      if (!finished) finish(FinishReason::length, candidate.raw.size());
    }
  }

  /// The text that may be shown now: nothing that could still turn out to be a stop string or the layout behind the
  /// end.
  [[nodiscard]] std::string fresh() {
    std::size_t end = finished ? end_ : stops_.safe_length();
    if (!finished) {
      const std::size_t solid = std::string_view(candidate.raw).substr(0, end).find_last_not_of(" \t\r\n");
      end = solid == std::string_view::npos ? 0 : solid + 1;
    }
    std::string text = candidate.raw.substr(shown_, end > shown_ ? end - shown_ : 0);
    shown_ = std::max(shown_, end);
    return finished ? text + closing_ : text;
  }

  [[nodiscard]] bool pools() const { return score_.has_value(); }
  [[nodiscard]] bool pooled() const {
    return !score_ || score_->tokens() == static_cast<std::int64_t>(candidate.tokens.size());
  }
  void pool(std::span<const float> tapped, std::size_t row, std::size_t rows) {
    score_->add(tapped, row, rows);
    for (ProbeScore& score : early_) score.add(tapped, row, rows);
  }

  /// Ends the candidate where the early probe of so many tokens holds it for wrong. Says whether it has ended.
  bool stop_early() {
    if (finished || early_.empty() || score_->tokens() < early_.front().head().tokens) return false;
    const ProbeScore score = std::move(early_.front());
    early_.pop_front();
    if (score.head().calibration.probability(score.logit()) >= options_.stop_below) return false;
    look(decoder_.finish());
    if (!finished) finish(FinishReason::stopped_by_probe, candidate.raw.size());
    return true;
  }

  /// Fills the probe's probability, once every token has been read.
  void judge(const ProbeSpec& spec, const Model& model, std::span<const std::int32_t> prompt) {
    if (!score_ || score_->tokens() == 0) return;
    candidate.probe_logit = score_->logit();
    candidate.p_correct = static_cast<float>(spec.whole.calibration.probability(*candidate.probe_logit));
    candidate.probe_input = probe_input(model, prompt, candidate.tokens);
  }

 private:
  void look(const std::string& piece) {
    if (piece.empty()) return;
    candidate.raw += piece;
    const std::optional<std::size_t> stop = stops_.push(piece);
    const std::optional<std::size_t> complete = scanner_ ? scanner_->push(piece) : std::nullopt;
    if (complete && *complete <= stop.value_or(*complete)) {
      closing_ = scanner_->closing();
      finish(FinishReason::stop_string, *complete);
    } else if (stop) {
      finish(FinishReason::stop_string, *stop);
    } else if (options_.language_stops && task_.prompting == Prompting::chat && code_block_closed()) {
      finish(FinishReason::stop_string, candidate.raw.size());
    }
  }

  [[nodiscard]] bool code_block_closed() const {
    const std::size_t open = candidate.raw.find("```");
    return open != std::string::npos && candidate.raw.find("\n```", open + 3) != std::string::npos;
  }

  void finish(FinishReason reason, std::size_t end) {
    finished = true;
    candidate.finish = reason;
    end_ = end;
    candidate.text = candidate.raw.substr(0, end) + closing_;
    if (task_.prompting == Prompting::chat) candidate.text = extract_code(candidate.text, task_.language);
  }

  const Task& task_;
  const GenerateOptions& options_;
  std::int64_t most_tokens_;
  StreamDecoder decoder_;
  StopFinder stops_;
  Sampler sampler_;
  std::optional<CompletionScanner> scanner_;
  std::optional<ProbeScore> score_;
  std::deque<ProbeScore> early_;  // those still to be asked
  TokenSet seen_, present_;
  std::size_t end_ = 0, shown_ = 0;
  std::string closing_;  // of the types around the function that was completed
};

/// Writes all candidates of one task.
class Writing {
 public:
  Writing(const Model& model, const Task& task, std::size_t task_index, const GenerateOptions& options,
          const StreamCallback& stream, const Cancel& cancel)
      : model_(model), task_index_(task_index), options_(options), stream_(stream), cancel_(cancel) {
    result_.prompt_tokens = generation_prompt(model, task);
    require_context(model, result_.prompt_tokens.size(), 1, "a candidate");
    const auto room = model.context() - static_cast<std::int64_t>(result_.prompt_tokens.size());
    most_tokens_ = std::min<std::int64_t>(options.max_tokens, room);
    for (std::int32_t i = 0; i < options.candidates; ++i)
      writers_.emplace_back(task, options, model, result_.prompt_tokens, i, most_tokens_);
    stop_tokens_ = manifest(model).stop_tokens;
    stop_tokens_.insert(stop_tokens_.end(), options.stop_tokens.begin(), options.stop_tokens.end());
    result_.stats.prompt_tokens = static_cast<std::int64_t>(result_.prompt_tokens.size());
  }

  Generation run() {
    const ProbeSpec* spec = options_.probe ? probe(model_) : nullptr;
    Session session(model_,
                    {static_cast<std::int64_t>(result_.prompt_tokens.size()), options_.candidates, most_tokens_},
                    spec != nullptr ? spec->layers : std::vector<std::int64_t>{});
    {
      const Seconds timer(result_.stats.prefill_seconds);
      session.prefill(result_.prompt_tokens, cancel_);
    }
    write(session, spec);
    for (Writer& writer : writers_) {
      if (spec != nullptr) writer.judge(*spec, model_, result_.prompt_tokens);
      result_.candidates.push_back(std::move(writer.candidate));
    }
    return std::move(result_);
  }

 private:
  /// Decode steps until every candidate has ended and every token has been read.
  void write(Session& session, const ProbeSpec* spec) {
    const Seconds timer(result_.stats.decode_seconds);
    std::vector<std::size_t> writing(writers_.size());
    for (std::size_t i = 0; i < writing.size(); ++i) writing[i] = i;
    sample(session.logits(), writing, 1);
    while (true) {
      // Who still writes, and who is over but for its last token, which its probe has not read yet.
      writing.clear();
      std::vector<std::size_t> reading;
      for (std::size_t i = 0; i < writers_.size(); ++i) {
        if (!writers_[i].finished) writing.push_back(i);
        if (!writers_[i].finished || !writers_[i].pooled()) reading.push_back(i);
      }
      if (reading.empty()) break;
      std::vector<Session::Append> appends;
      for (const std::size_t i : reading)
        appends.push_back({static_cast<std::int64_t>(i), std::span(writers_[i].candidate.tokens).last(1)});
      session.extend(appends, cancel_);
      ++result_.stats.steps;
      if (spec != nullptr)
        for (std::size_t row = 0; row < reading.size(); ++row)
          writers_[reading[row]].pool(session.tapped(), row, reading.size());
      for (const std::size_t i : writing) {
        if (!writers_[i].stop_early()) continue;
        if (writers_[i].candidate.finish == FinishReason::stopped_by_probe) ++result_.stats.stopped;
        show(writers_[i], -1);
      }
      if (!writing.empty()) sample(session.logits(), reading, reading.size());
    }
  }

  /// Draws for each of `members` that still writes, from its row of logits, or from the one row that all share.
  void sample(std::span<const float> logits, const std::vector<std::size_t>& members, std::size_t rows) {
    {
      const Seconds timer(result_.stats.sample_seconds);
      const std::size_t width = logits.size() / rows;
      const auto known = static_cast<std::size_t>(model_.tokenizer()->size());  // rows behind it are padding
      parallel(static_cast<std::int64_t>(members.size()), [&](std::int64_t i) {
        Writer& writer = writers_[members[static_cast<std::size_t>(i)]];
        if (!writer.finished)
          writer.draw(logits.subspan(rows == 1 ? 0 : static_cast<std::size_t>(i) * width, std::min(width, known)));
      });
    }
    for (const std::size_t i : members) {
      Writer& writer = writers_[i];
      if (writer.finished) continue;
      writer.take(stop_tokens_);
      ++result_.stats.sampled_tokens;
      show(writer, writer.drawn.token);
    }
  }

  void show(Writer& writer, std::int32_t token) {
    if (!stream_) return;
    const std::string text = writer.fresh();
    stream_({task_index_, writer.candidate.index, token, text, writer.finished});
  }

  const Model& model_;
  std::size_t task_index_;
  const GenerateOptions& options_;
  const StreamCallback& stream_;
  const Cancel& cancel_;
  std::int64_t most_tokens_ = 0;
  std::vector<std::int32_t> stop_tokens_;
  std::vector<Writer> writers_;
  Generation result_;
};

}  // namespace

class Generator::Impl {
 public:
  explicit Impl(Model model) : model_(std::move(model)) {
    if (manifest(model_).head != "lm")
      throw Error(ErrorCode::unsupported, fmt::format("bundle \"{}\" has a {} head and cannot generate; it is a judge",
                                                      model_.name(), manifest(model_).head));
  }
  Model model_;
};

Generator::Generator(Model model) : impl_(std::make_unique<Impl>(std::move(model))) {}
Generator::~Generator() = default;
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;
const Model& Generator::model() const {
  return impl_->model_;
}

Generation Generator::generate(const Task& task, const GenerateOptions& options, const StreamCallback& stream,
                               const Cancel& cancel) {
  return std::move(generate(std::vector<Task>{task}, options, stream, cancel).front());
}

std::vector<Generation> Generator::generate(const std::vector<Task>& tasks, const GenerateOptions& options,
                                            const StreamCallback& stream, const Cancel& cancel) {
  validate(options, impl_->model_);
  std::vector<Generation> generations;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    generations.push_back(Writing(impl_->model_, tasks[i], i, options, stream, cancel).run());
  return generations;
}

}  // namespace gavel
