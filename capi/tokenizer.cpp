#include <cstdlib>
#include <cstring>
#include <new>

#include "convert.hpp"

using namespace gavel::capi;

namespace {

const gavel::Tokenizer& inside(const gavel_tokenizer* tokenizer) {
  return *need(tokenizer, "tokenizer").tokenizer;
}

}  // namespace

gavel_status gavel_tokenizer_open(gavel_tokenizer** out, const char* path) {
  return guard([&] {
    need_out(out);
    *out = new gavel_tokenizer{gavel::Tokenizer::open(to_path(path))};
  });
}

gavel_status gavel_model_get_tokenizer(gavel_tokenizer** out, const gavel_model* model) {
  return guard([&] {
    need_out(out);
    *out = new gavel_tokenizer{need(model, "model").model.tokenizer()};
  });
}

void gavel_tokenizer_destroy(gavel_tokenizer* tokenizer) {
  delete tokenizer;
}

gavel_status gavel_tokenizer_encode(int32_t** out, size_t* out_count, const gavel_tokenizer* tokenizer, gavel_text text,
                                    int32_t special) {
  return guard([&] {
    need_out(out);
    need(out_count, "out_count") = 0;
    const auto ids = inside(tokenizer).encode({need_array(text.data, text.size, "text"), text.size}, special != 0);
    if (ids.empty()) return;
    *out = static_cast<std::int32_t*>(std::malloc(ids.size() * sizeof(std::int32_t)));
    if (*out == nullptr) throw std::bad_alloc();
    std::memcpy(*out, ids.data(), ids.size() * sizeof(std::int32_t));
    *out_count = ids.size();
  });
}

gavel_status gavel_tokenizer_decode(char** out, size_t* out_size, const gavel_tokenizer* tokenizer, const int32_t* ids,
                                    size_t count, int32_t special) {
  return guard([&] {
    need_out(out);
    need(out_size, "out_size") = 0;
    need_array(ids, count, "ids");
    const std::string text = inside(tokenizer).decode(std::vector<std::int32_t>(ids, ids + count), special != 0);
    *out = allocate_copy(text);
    *out_size = text.size();
  });
}

gavel_status gavel_tokenizer_bytes(gavel_text* out, const gavel_tokenizer* tokenizer, int32_t id) {
  return guard([&] { need(out, "out") = view(inside(tokenizer).bytes(id)); });
}

gavel_status gavel_tokenizer_size(int32_t* out, const gavel_tokenizer* tokenizer) {
  return guard([&] { need(out, "out") = inside(tokenizer).size(); });
}

gavel_status gavel_tokenizer_id(int32_t* out, const gavel_tokenizer* tokenizer, gavel_text token) {
  return guard([&] {
    need_array(token.data, token.size, "token");
    need(out, "out") = inside(tokenizer).id({token.data, token.size});
  });
}
