#include <array>
#include <cstdio>

#include "word_model.hpp"

namespace gavel::text {

std::vector<std::int32_t> byte_token_ids(const Vocabulary& vocabulary) {
  std::vector<std::int32_t> ids;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::array<char, 8> written{};
    std::snprintf(written.data(), written.size(), "<0x%02X>", byte);
    ids.push_back(vocabulary.find(written.data()));
  }
  return ids;
}

}  // namespace gavel::text
