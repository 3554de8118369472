#include <algorithm>

#include "convert.hpp"

using namespace gavel::capi;

namespace {

const std::vector<gavel::Candidate>& inside(const gavel_candidates* candidates) {
  return need(candidates, "candidates").generation.candidates;
}

void add(gavel_candidates* candidates, gavel::Candidate candidate) {
  auto& list = need(candidates, "candidates").generation.candidates;
  candidate.index = static_cast<int>(list.size());
  list.push_back(std::move(candidate));
}

}  // namespace

gavel_status gavel_candidates_create(gavel_candidates** out) {
  return guard([&] { need_out(out) = new gavel_candidates(); });
}

void gavel_candidates_destroy(gavel_candidates* candidates) {
  delete candidates;
}

gavel_status gavel_candidates_add(gavel_candidates* candidates, const gavel_candidate* candidate) {
  return guard([&] { add(candidates, to_candidate(candidate)); });
}

gavel_status gavel_candidates_add_text(gavel_candidates* candidates, gavel_text text) {
  return guard([&] {
    gavel::Candidate candidate;
    candidate.text = to_string(text, "text");
    add(candidates, std::move(candidate));
  });
}

gavel_status gavel_candidates_count(size_t* out, const gavel_candidates* candidates) {
  return guard([&] { need(out, "out") = inside(candidates).size(); });
}

gavel_status gavel_candidates_get(gavel_candidate* out, const gavel_candidates* candidates, size_t index) {
  return guard([&] {
    const auto& list = inside(candidates);
    if (index >= list.size()) {
      refuse("index is " + std::to_string(index) + ", but there are " + std::to_string(list.size()) + " candidates");
    }
    fill_sized(out, view(list[index]));
  });
}

gavel_status gavel_candidates_get_prompt_tokens(const int32_t** out, size_t* out_count,
                                                const gavel_candidates* candidates) {
  return guard([&] {
    const auto& tokens = need(candidates, "candidates").generation.prompt_tokens;
    need(out_count, "out_count") = tokens.size();
    need(out, "out") = tokens.data();
  });
}

gavel_status gavel_candidates_get_representatives(size_t* out, size_t count, const gavel_candidates* candidates,
                                                  int32_t language) {
  return guard([&] {
    const auto firsts = gavel::representatives(inside(candidates), to_language(language));
    check_count(count, firsts.size());
    std::copy(firsts.begin(), firsts.end(), need_array(out, count, "out"));
  });
}

gavel_status gavel_candidates_get_stats(gavel_generate_stats* out, const gavel_candidates* candidates) {
  return guard([&] { fill_sized(out, view(need(candidates, "candidates").generation.stats)); });
}
