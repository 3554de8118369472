#include <limits>
#include <memory>

#include "convert.hpp"

using namespace gavel::capi;

namespace {

/// A judge behind a handle, as a member of a team.
struct SharedJudge {
  std::shared_ptr<gavel::Judge> judge_;
  [[nodiscard]] gavel::JudgeInfo info() const { return judge_->info(); }
  [[nodiscard]] std::vector<gavel::Verdict> judge(const gavel::Task& task,
                                                  const std::vector<gavel::Candidate>& candidates,
                                                  const gavel::Cancel& cancel) const {
    return judge_->judge(task, candidates, cancel);
  }
};

/// A judge of the caller's own: one of the two functions.
struct CallbackJudge {
  gavel::JudgeInfo info_;
  gavel_judge_fn function;
  gavel_explain_fn explain;
  void* payload;

  [[nodiscard]] gavel::JudgeInfo info() const { return info_; }

  [[nodiscard]] std::vector<gavel::Verdict> judge(const gavel::Task& task,
                                                  const std::vector<gavel::Candidate>& candidates,
                                                  const gavel::Cancel& cancel) const {
    constexpr double absent = std::numeric_limits<double>::quiet_NaN();
    const gavel_task task_view = view(task);
    const gavel_candidates list{{.candidates = candidates, .prompt_tokens = {}, .stats = {}}};
    const gavel_cancel cancel_view{
        .source = std::stop_source(std::nostopstate), .token = cancel.token, .deadline = cancel.deadline};
    set_message("");
    if (explain != nullptr) {
      gavel_verdicts out{std::vector<gavel::Verdict>(candidates.size(), gavel::Verdict{absent, std::nullopt})};
      check(explain(&out, &task_view, &list, &cancel_view, payload));
      return std::move(out.verdicts);
    }
    std::vector<gavel_verdict> filled(candidates.size(),
                                      {.p_correct = absent, .logit = absent, .decision = GAVEL_ABSTAIN, .reserved = 0});
    check(function(filled.data(), filled.size(), &task_view, &list, &cancel_view, payload));
    std::vector<gavel::Verdict> verdicts;
    for (std::size_t i = 0; i < filled.size(); ++i) verdicts.push_back(to_verdict(filled[i], i));
    return verdicts;
  }

  void check(std::int32_t status) const {
    if (status == GAVEL_OK) return;
    const std::string reason = *gavel_last_error() != '\0' ? gavel_last_error() : "it gave no reason";
    const bool known = status > GAVEL_OK && status <= GAVEL_IO;
    throw gavel::Error(known ? static_cast<gavel::ErrorCode>(status) : gavel::ErrorCode::internal,
                       "judge \"" + info_.name + "\" failed: " + reason);
  }
};

/// Keeps what a team's judges say of themselves, for views of it.
void keep_judges(gavel_ranker& ranker) {
  const auto infos = ranker.ranker.judges();
  for (std::size_t i = ranker.judges.size(); i < infos.size(); ++i) {
    auto& judge = ranker.judges.emplace_back(gavel_ranker::Judge{infos[i], {}});
    judge.labels = views(judge.info.labels);
  }
}

template <gavel::AnyJudge T>
void add(gavel_ranker* ranker, T judge) {
  need(ranker, "ranker").ranker.add(std::move(judge));
  keep_judges(*ranker);
}

/// NULL means the team's own.
std::optional<gavel::RankOptions> to_own(const gavel_rank_options* options) {
  return options == nullptr ? std::nullopt : std::optional(to_options(options));
}

gavel_ranking* make_ranking(gavel::Ranking ranking) {
  auto handle = std::make_unique<gavel_ranking>();
  handle->ranking = std::move(ranking);
  for (const gavel::Ranked& ranked : handle->ranking.ranked) {
    auto& verdicts = handle->verdicts.emplace_back();
    for (const gavel::Verdict& verdict : ranked.verdicts) verdicts.push_back(view(verdict));
  }
  for (const gavel::JudgeInfo& judge : handle->ranking.judges) handle->labels.push_back(views(judge.labels));
  handle->json = handle->ranking.to_json();
  return handle.release();
}

}  // namespace

gavel_status gavel_ranker_create(gavel_ranker** out, const gavel_model* model) {
  return guard([&] {
    need_out(out);
    *out = model == nullptr ? new gavel_ranker() : new gavel_ranker{gavel::Ranker(gavel::Generator(model->model)), {}};
  });
}

gavel_status gavel_ranker_open(gavel_ranker** out, const char* path, const gavel_open_options* options) {
  return guard([&] {
    need_out(out);
    auto ranker =
        std::make_unique<gavel_ranker>(gavel_ranker{gavel::Ranker::open(to_path(path), to_options(options)), {}});
    keep_judges(*ranker);
    *out = ranker.release();
  });
}

gavel_status gavel_ranker_get_options(gavel_rank_options* out, const gavel_ranker* ranker) {
  return guard([&] { fill_sized(out, view(need(ranker, "ranker").ranker.options())); });
}

gavel_status gavel_ranker_get_model(gavel_model** out, const gavel_ranker* ranker) {
  return guard([&] {
    need_out(out);
    if (auto model = need(ranker, "ranker").ranker.model()) *out = new gavel_model(std::move(*model));
  });
}

gavel_status gavel_ranker_count_judges(size_t* out, const gavel_ranker* ranker) {
  return guard([&] { need(out, "out") = need(ranker, "ranker").judges.size(); });
}

gavel_status gavel_ranker_get_judge(gavel_judge_info* out, const gavel_ranker* ranker, size_t judge) {
  return guard([&] {
    const auto& judges = need(ranker, "ranker").judges;
    check_index(judge, judges.size());
    fill_sized(out, view(judges[judge].info, judges[judge].labels));
  });
}

void gavel_ranker_destroy(gavel_ranker* ranker) {
  delete ranker;
}

gavel_status gavel_ranker_add_judge(gavel_ranker* ranker, const gavel_judge* judge) {
  return guard([&] { add(ranker, SharedJudge{need(judge, "judge").judge}); });
}

gavel_status gavel_ranker_add_callback_judge(gavel_ranker* ranker, const gavel_judge_info* info, gavel_judge_fn judge,
                                             void* payload) {
  return guard([&] {
    if (judge == nullptr) refuse("judge is NULL; pass the callback that judges");
    add(ranker, CallbackJudge{.info_ = to_info(info), .function = judge, .explain = nullptr, .payload = payload});
  });
}

gavel_status gavel_ranker_add_explaining_judge(gavel_ranker* ranker, const gavel_judge_info* info,
                                               gavel_explain_fn judge, void* payload) {
  return guard([&] {
    if (judge == nullptr) refuse("judge is NULL; pass the callback that judges");
    add(ranker, CallbackJudge{.info_ = to_info(info), .function = nullptr, .explain = judge, .payload = payload});
  });
}

gavel_status gavel_ranker_rank(gavel_ranking** out, gavel_ranker* ranker, const gavel_task* task,
                               const gavel_candidates* candidates, const gavel_rank_options* options,
                               const gavel_cancel* cancel) {
  return guard([&] {
    need_out(out);
    *out = make_ranking(need(ranker, "ranker")
                            .ranker.rank(to_task(task), need(candidates, "candidates").generation.candidates,
                                         to_own(options), to_cancel(cancel)));
  });
}

gavel_status gavel_ranker_solve(gavel_ranking** out, gavel_ranker* ranker, const gavel_task* task,
                                const gavel_generate_options* generate, const gavel_rank_options* rank,
                                const gavel_cancel* cancel, gavel_stream_fn stream, void* payload) {
  return guard([&] {
    need_out(out);
    *out = make_ranking(need(ranker, "ranker")
                            .ranker.solve(to_task(task), to_options(generate), to_own(rank),
                                          to_callback(stream, payload), to_cancel(cancel)));
  });
}
