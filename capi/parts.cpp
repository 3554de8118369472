#include "convert.hpp"

using namespace gavel::capi;

gavel_status gavel_aggregate(double* out, const gavel_verdict* verdicts, size_t count,
                             const gavel_rank_options* options) {
  return guard([&] {
    need_array(verdicts, count, "verdicts");
    std::vector<gavel::Verdict> list;
    for (std::size_t i = 0; i < count; ++i) list.push_back(to_verdict(verdicts[i], i));
    const gavel::RankOptions how = to_options(options);
    need(out, "out") = gavel::aggregate(how.aggregation, list, how.weights, how.stacking);
  });
}

gavel_status gavel_normal_form(char** out, size_t* out_size, gavel_text code, int32_t language) {
  return guard([&] {
    need_out(out);
    need(out_size, "out_size") = 0;
    const std::string form = gavel::normal_form(to_string(code, "code"), to_language(language));
    *out = allocate_copy(form);
    *out_size = form.size();
  });
}
