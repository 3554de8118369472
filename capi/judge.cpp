#include <algorithm>
#include <cstdlib>
#include <new>

#include "convert.hpp"

using namespace gavel::capi;

namespace {

/// The rows of all candidates one after another, for the caller to gavel_free; NULL where there are none.
float* allocate_states(const std::vector<std::vector<std::vector<float>>>& states) {
  std::size_t size = 0;
  for (const auto& candidate : states) {
    for (const auto& row : candidate) size += row.size();
  }
  if (size == 0) return nullptr;
  auto* out = static_cast<float*>(std::malloc(size * sizeof(float)));
  if (out == nullptr) throw std::bad_alloc();
  float* next = out;
  for (const auto& candidate : states) {
    for (const auto& row : candidate) next = std::copy(row.begin(), row.end(), next);
  }
  return out;
}

}  // namespace

gavel_status gavel_judge_create(gavel_judge** out, const gavel_model* model, const gavel_judge_options* options) {
  return guard([&] {
    need_out(out);
    auto judge = std::make_shared<gavel::Judge>(need(model, "model").model, to_options(options));
    gavel::JudgeInfo info = judge->info();
    auto handle = std::make_unique<gavel_judge>(gavel_judge{std::move(judge), std::move(info), {}});
    handle->labels = views(handle->info.labels);
    *out = handle.release();
  });
}

void gavel_judge_destroy(gavel_judge* judge) {
  delete judge;
}

gavel_status gavel_judge_get_info(gavel_judge_info* out, const gavel_judge* judge) {
  return guard([&] { fill_sized(out, view(need(judge, "judge").info, judge->labels)); });
}

gavel_status gavel_judge_at_precision(gavel_operating_point* out, const gavel_judge* judge, double precision) {
  return guard([&] {
    const auto point = need(judge, "judge").judge->at_precision(precision);
    fill_sized(out, point ? view(*point) : default_operating_point());
  });
}

gavel_status gavel_judge_judge(gavel_verdict* out, size_t count, gavel_judge* judge, const gavel_task* task,
                               const gavel_candidates* candidates, const gavel_cancel* cancel) {
  return guard([&] {
    const auto& list = need(candidates, "candidates").generation.candidates;
    check_count(count, list.size());
    need_array(out, count, "out");
    const auto verdicts = need(judge, "judge").judge->judge(to_task(task), list, to_cancel(cancel));
    std::transform(verdicts.begin(), verdicts.end(), out, [](const gavel::Verdict& verdict) { return view(verdict); });
  });
}

gavel_status gavel_judge_explain(gavel_verdicts** out, gavel_judge* judge, const gavel_task* task,
                                 const gavel_candidates* candidates, const gavel_cancel* cancel) {
  return guard([&] {
    need_out(out);
    const auto& list = need(candidates, "candidates").generation.candidates;
    *out = new gavel_verdicts{need(judge, "judge").judge->judge(to_task(task), list, to_cancel(cancel))};
  });
}

void gavel_verdicts_destroy(gavel_verdicts* verdicts) {
  delete verdicts;
}

gavel_status gavel_verdicts_count(size_t* out, const gavel_verdicts* verdicts) {
  return guard([&] { need(out, "out") = need(verdicts, "verdicts").verdicts.size(); });
}

gavel_status gavel_verdicts_get(gavel_explanation* out, const gavel_verdicts* verdicts, size_t index) {
  return guard([&] {
    const auto& list = need(verdicts, "verdicts").verdicts;
    check_index(index, list.size());
    fill_sized(out, explain(list[index]));
  });
}

gavel_status gavel_verdicts_set(gavel_verdicts* verdicts, size_t index, const gavel_explanation* explanation) {
  return guard([&] {
    auto& list = need(verdicts, "verdicts").verdicts;
    check_index(index, list.size());
    list[index] = to_verdict(explanation, index);
  });
}

gavel_status gavel_tap(float** out, size_t* out_hidden, const gavel_model* model, const gavel_task* task,
                       const gavel_candidates* candidates, const int32_t* layers, size_t layer_count,
                       const gavel_cancel* cancel) {
  return guard([&] {
    need_out(out);
    need(out_hidden, "out_hidden") = 0;
    need_array(layers, layer_count, "layers");
    const auto& list = need(candidates, "candidates").generation.candidates;
    const auto states = gavel::tap(need(model, "model").model, to_task(task), list,
                                   std::vector<std::int32_t>(layers, layers + layer_count), to_cancel(cancel));
    *out = allocate_states(states);
    if (*out != nullptr) *out_hidden = states[0][0].size();
  });
}

gavel_status gavel_tap_tokens(float** out, size_t* out_hidden, size_t* out_tokens, size_t count,
                              const gavel_model* model, const gavel_task* task, const gavel_candidates* candidates,
                              const int32_t* layers, size_t layer_count, const gavel_cancel* cancel) {
  return guard([&] {
    need_out(out);
    need(out_hidden, "out_hidden") = 0;
    need_array(layers, layer_count, "layers");
    const auto& list = need(candidates, "candidates").generation.candidates;
    check_count(count, list.size());
    need_array(out_tokens, count, "out_tokens");
    std::fill(out_tokens, out_tokens + count, std::size_t{0});
    const auto states = gavel::tap_tokens(need(model, "model").model, to_task(task), list,
                                          std::vector<std::int32_t>(layers, layers + layer_count), to_cancel(cancel));
    *out = allocate_states(states);
    if (*out == nullptr) return;
    *out_hidden = states[0][0].size() / layer_count;
    for (std::size_t i = 0; i < count; ++i) out_tokens[i] = states[i].size();
  });
}
