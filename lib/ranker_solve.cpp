#include "gavel/error.hpp"
#include "gavel/ranker.hpp"

namespace gavel {

// Apart from `rank`, which links without a generator.
Ranking Ranker::solve(const Task& task, const GenerateOptions& generate, const std::optional<RankOptions>& options,
                      const StreamCallback& stream, const Cancel& cancel) {
  if (!generator_)
    throw Error(ErrorCode::invalid_argument,
                "this team has no generator; construct the Ranker with one, or rank candidates of your own");
  check(options ? *options : options_);
  Generation generation = generator_->generate(task, generate, stream, cancel);
  Ranking ranking = rank(task, std::move(generation.candidates), options, cancel);
  ranking.generator_digest = generator_->model().digest();
  ranking.generate_options = generate;
  ranking.generate_stats = generation.stats;
  return ranking;
}

std::optional<Model> Ranker::model() const {
  return generator_ ? std::optional(generator_->model()) : std::nullopt;
}

}  // namespace gavel
