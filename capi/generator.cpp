#include <algorithm>
#include <memory>

#include "convert.hpp"

using namespace gavel::capi;

gavel_status gavel_generator_create(gavel_generator** out, const gavel_model* model) {
  return guard([&] {
    need_out(out);
    *out = new gavel_generator{gavel::Generator(need(model, "model").model)};
  });
}

void gavel_generator_destroy(gavel_generator* generator) {
  delete generator;
}

gavel_status gavel_generator_generate(gavel_candidates** out, gavel_generator* generator, const gavel_task* task,
                                      const gavel_generate_options* options, const gavel_cancel* cancel,
                                      gavel_stream_fn stream, void* payload) {
  return guard([&] {
    need_out(out);
    *out = new gavel_candidates{
        need(generator, "generator")
            .generator.generate(to_task(task), to_options(options), to_callback(stream, payload), to_cancel(cancel))};
  });
}

gavel_status gavel_generator_generate_many(gavel_candidates** out, gavel_generator* generator,
                                           const gavel_task* const* tasks, size_t count,
                                           const gavel_generate_options* options, const gavel_cancel* cancel,
                                           gavel_stream_fn stream, void* payload) {
  return guard([&] {
    need_array(out, count, "out");
    need_array(tasks, count, "tasks");
    std::fill(out, out + count, nullptr);
    std::vector<gavel::Task> list;
    for (std::size_t i = 0; i < count; ++i) list.push_back(to_task(tasks[i]));
    auto generations =
        need(generator, "generator")
            .generator.generate(list, to_options(options), to_callback(stream, payload), to_cancel(cancel));
    std::vector<std::unique_ptr<gavel_candidates>> handles;
    for (auto& generation : generations) {
      handles.push_back(std::make_unique<gavel_candidates>(gavel_candidates{std::move(generation)}));
    }
    for (std::size_t i = 0; i < count; ++i) out[i] = handles[i].release();
  });
}
