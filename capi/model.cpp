#include "convert.hpp"

using namespace gavel::capi;

gavel_model::gavel_model(gavel::Model from) : model(std::move(from)), device(model.device()) {
  for (const std::string& name : model.adapters()) adapters.push_back(view(name));
}

gavel_status gavel_model_open(gavel_model** out, const char* path, const gavel_open_options* options) {
  return guard([&] {
    need_out(out);
    *out = new gavel_model(gavel::Model::open(to_path(path), to_options(options)));
  });
}

gavel_status gavel_model_adapt(gavel_model** out, const gavel_model* base, const char* name_or_folder) {
  return guard([&] {
    need_out(out);
    *out = new gavel_model(need(base, "base").model.adapted(to_path(name_or_folder, "name_or_folder")));
  });
}

void gavel_model_destroy(gavel_model* model) {
  delete model;
}

gavel_status gavel_model_get_info(gavel_model_info* out, const gavel_model* model) {
  return guard([&] {
    const gavel::Model& from = need(model, "model").model;
    fill_sized(out, gavel_model_info{.size = 0,
                                     .name = view(from.name()),
                                     .digest = view(from.digest()),
                                     .tokenizer_digest = view(from.tokenizer_digest()),
                                     .device = view(model->device),
                                     .manifest_json = view(from.manifest_json()),
                                     .context = from.context(),
                                     .has_probe = from.has_probe() ? 1 : 0,
                                     .adapters = model->adapters.data(),
                                     .adapter_count = model->adapters.size()});
  });
}

gavel_status gavel_model_estimate(gavel_memory_estimate* out, const gavel_model* model, int64_t prompt_tokens,
                                  int64_t candidates, int64_t max_tokens) {
  return guard([&] {
    const gavel::MemoryEstimate from = need(model, "model").model.estimate(prompt_tokens, candidates, max_tokens);
    fill_sized(out, gavel_memory_estimate{.size = 0,
                                          .weights = from.weights,
                                          .prefix = from.prefix,
                                          .own = from.own,
                                          .scratch = from.scratch,
                                          .total = from.total()});
  });
}

gavel_status gavel_model_self_test(const gavel_model* model) {
  return guard([&] { need(model, "model").model.self_test(); });
}
