// Compiled once for each instruction set, with GAVEL_KERNELS naming the table.

#include "engine/kernels/kernels.hpp"

#include "engine/kernels/attention.hpp"
#include "engine/kernels/int8.hpp"
#include "engine/kernels/vector.hpp"

namespace {

void rms_norm(const float* x, const float* weight, float eps, std::int64_t rows, std::int64_t size, float* out) {
  for (std::int64_t r = 0; r < rows; ++r, x += size, out += size) {
    Vector squares{};
    float rest = 0;
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes) {
      const Vector v = load(x + i);
      squares += v * v;
    }
    for (; i < size; ++i) rest += x[i] * x[i];
    const float scale = 1.0F / std::sqrt((sum(squares) + rest) / static_cast<float>(size) + eps);
    for (i = 0; i < size; ++i) out[i] = weight[i] * (x[i] * scale);
  }
}

void silu_mul(const float* x, std::int64_t rows, std::int64_t size, float* out) {
  for (std::int64_t r = 0; r < rows; ++r, x += 2 * size, out += size) {
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes) {
      const Vector gate = load(x + i);
      store(out + i, gate / (1.0F + exponential(-gate)) * load(x + size + i));
    }
    for (; i < size; ++i) out[i] = x[i] / (1.0F + std::exp(-x[i])) * x[size + i];
  }
}

/// x * (1 + tanh(u)) / 2 = x / (1 + e^(-2u)) with u = sqrt(2 / pi) (x + 0.044715 x^3).
inline Vector gelu_tanh(Vector x) {
  return x / (1.0F + exponential(x * (-1.5957691216057308F - 0.07135481627159847F * x * x)));
}

void gelu(const float* x, std::int64_t rows, std::int64_t size, std::int64_t stride, float* out) {
  const bool gated = stride == 2 * size;
  for (std::int64_t r = 0; r < rows; ++r, x += stride, out += size) {
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes) {
      const Vector y = gelu_tanh(load(x + i));
      store(out + i, gated ? y * load(x + size + i) : y);
    }
    for (; i < size; ++i) out[i] = gelu_tanh(broadcast(x[i]))[0] * (gated ? x[size + i] : 1.0F);
  }
}

}  // namespace

#if !defined(GAVEL_AMX)

namespace gavel::kernels {
extern const Table GAVEL_KERNELS;
const Table GAVEL_KERNELS{GAVEL_KERNELS_NAME, quantize_rows, multiply_blocks, multiply_gated, rms_norm,
                          silu_mul,           gelu,          attend_tokens};
}  // namespace gavel::kernels

#else

namespace {

/// The tile registers' shape: four sums (0-3), two rows of activations (4, 5), two of weights (6, 7), 16 x 64 bytes
/// each.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Blocks [first, last) for rows in pairs of 16.
template <Finish F>
void multiply_tiles(const Int8Matrix& w, const Int8Rows& x, std::int64_t first, std::int64_t last, float* out) {
  constexpr bool gated = F == Finish::gated;
  if (x.rows < 3) return gated ? multiply_gated(w, x, first, last, out) : multiply_blocks(w, x, first, last, out);
  const TileConfig config;
  _tile_loadconfig(&config);
  const std::int64_t rows = x.rows, padded = x.padded, steps = padded / 64;
  const std::int64_t width = gated ? w.outputs / 2 : w.outputs, apart = gated ? w.blocks() / 2 : 1;
  const auto stride = static_cast<int>(padded);
  alignas(64) std::int32_t sums[4][256];
  constexpr std::int64_t panel = 256;  // rows whose activations stay in the second-level cache
  for (std::int64_t top = 0; top < rows; top += panel) {
    const std::int64_t bottom = rows < top + panel ? rows : top + panel;
    for (std::int64_t block = first; block < last; block += gated ? 1 : 2) {
      const bool two_blocks = gated || block + 1 < last;
      const std::int8_t* left = w.tiles + block * padded * 16;
      const std::int8_t* right = two_blocks ? left + apart * padded * 16 : left;
      const auto finish_rows = [&](std::int64_t r, std::int64_t count, const std::int32_t* a, const std::int32_t* b) {
        for (std::int64_t i = 0; i < count; ++i) {
          float* to = out + (r + i) * width;
          if constexpr (gated) {
            finish_gated(w, a + i * 16, b + i * 16, x.scale[r + i], block, to);
          } else {
            finish(w, a + i * 16, x.scale[r + i], block, to);
            if (two_blocks) finish(w, b + i * 16, x.scale[r + i], block + 1, to);
          }
        }
      };
      for (std::int64_t r = top; r < bottom; r += 32) {
        const std::int64_t here = bottom - r < 32 ? bottom - r : 32;
        const std::int64_t upper = here < 16 ? here : 16, lower = here - upper;
        const std::int8_t* a = x.q + r * padded;
        _tile_zero(0);
        _tile_zero(1);
        if (lower > 0) {
          _tile_zero(2);
          _tile_zero(3);
          for (std::int64_t k = 0; k < steps; ++k) {
            _tile_loadd(4, a + k * 64, stride);
            _tile_loadd(5, a + 16 * padded + k * 64, stride);
            _tile_loadd(6, left + k * 1024, 64);
            _tile_loadd(7, right + k * 1024, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 4, 7);
            _tile_dpbssd(2, 5, 6);
            _tile_dpbssd(3, 5, 7);
          }
          _tile_stored(2, sums[2], 64);
          _tile_stored(3, sums[3], 64);
        } else {
          for (std::int64_t k = 0; k < steps; ++k) {
            for (int line = 0; line < 1024; line += 64) {
              prefetch(left + k * 1024 + line);
              prefetch(right + k * 1024 + line);
            }
            _tile_loadd(4, a + k * 64, stride);
            _tile_loadd(6, left + k * 1024, 64);
            _tile_loadd(7, right + k * 1024, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 4, 7);
          }
        }
        _tile_stored(0, sums[0], 64);
        _tile_stored(1, sums[1], 64);
        finish_rows(r, upper, sums[0], sums[1]);
        if (lower > 0) finish_rows(r + 16, lower, sums[2], sums[3]);
      }
    }
  }
  _tile_release();
}

}  // namespace

namespace gavel::kernels {
extern const Table amx_table;
const Table amx_table{
    "amx", quantize_rows, multiply_tiles<Finish::plain>, multiply_tiles<Finish::gated>, rms_norm, silu_mul,
    gelu,  attend_tokens};
}  // namespace gavel::kernels

#endif
