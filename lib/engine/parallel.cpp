#include "engine/parallel.hpp"

#include <ATen/Parallel.h>

namespace gavel {

void parallel(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  at::parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) work(i);
  });
}

}  // namespace gavel
