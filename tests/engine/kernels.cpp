#include "engine/kernels/kernels.hpp"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace gavel::kernels;

namespace {

std::vector<const Table*> tables() {
  std::vector<const Table*> found;
  for (const char* name : {"generic", "avx2", "avx512", "amx"})
    if (const Table* table = kernels(name)) found.push_back(table);
  return found;
}

std::vector<float> normal(std::size_t count, unsigned seed, float deviation = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> draw(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = draw(generator);
  return values;
}

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Weights of n x k as a plain matrix and as tiles.
struct Weights {
  std::int64_t outputs, inputs;
  std::vector<std::int8_t> plain, tiles;
  std::vector<float> scale, bias;

  Weights(std::int64_t n, std::int64_t k)
      : outputs(n), inputs(k), scale(normal(at(n), 1, 0.01F)), bias(normal(at(n), 2)) {
    const std::int64_t padded = (k + 63) / 64 * 64;
    std::mt19937 generator(3);
    plain.resize(at(n * k));
    tiles.assign(at((n + 15) / 16 * 16 * padded), 0);
    for (std::int64_t row = 0; row < n; ++row)
      for (std::int64_t i = 0; i < k; ++i) {
        const auto value = static_cast<std::int8_t>(static_cast<int>(generator() % 255) - 127);
        plain[at(row * k + i)] = value;
        tiles[at(((row / 16 * padded / 4 + i / 4) * 16 + row % 16) * 4 + i % 4)] = value;
      }
  }

  [[nodiscard]] Int8Matrix matrix() const { return {tiles.data(), scale.data(), bias.data(), outputs, inputs}; }
};

struct Quantised {
  std::vector<std::int8_t> values;
  std::vector<float> scale;
  std::vector<std::int32_t> sum;
  std::int64_t padded;

  [[nodiscard]] Int8Rows rows() {
    return {values.data(), scale.data(), sum.data(), static_cast<std::int64_t>(scale.size()), padded};
  }
};

Quantised quantise(const Table& table, const std::vector<float>& x, std::int64_t rows, std::int64_t inputs) {
  const std::int64_t padded = (inputs + 63) / 64 * 64;
  Quantised q{std::vector<std::int8_t>(at((rows + 31) / 32 * 32 * padded)), std::vector<float>(at(rows)),
              std::vector<std::int32_t>(at(rows)), padded};
  table.quantize(x.data(), inputs, q.rows());
  return q;
}

}  // namespace

TEST_CASE("quantisation is round(x / (absmax / 127)) in each row", "[engine]") {
  constexpr std::int64_t rows = 3, inputs = 70;
  const auto x = normal(rows * inputs, 4);
  for (const Table* table : tables()) {
    INFO(table->name);
    const Quantised q = quantise(*table, x, rows, inputs);
    for (std::int64_t r = 0; r < rows; ++r) {
      float peak = 0;
      for (std::int64_t k = 0; k < inputs; ++k) peak = std::max(peak, std::abs(x[at(r * inputs + k)]));
      REQUIRE(q.scale[at(r)] == Approx(peak / 127).epsilon(1e-6));
      for (std::int64_t k = 0; k < inputs; ++k)
        REQUIRE(std::abs(static_cast<float>(q.values[at(r * 128 + k)]) - x[at(r * inputs + k)] / q.scale[at(r)]) <=
                0.5001F);
      for (std::int64_t k = inputs; k < 128; ++k) REQUIRE(q.values[at(r * 128 + k)] == 0);
      REQUIRE(q.sum[at(r)] == std::accumulate(&q.values[at(r * 128)], &q.values[at(r * 128)] + 128, 0));
    }
  }
}

TEST_CASE("a row of zeros quantises to zeros", "[engine]") {
  for (const Table* table : tables()) {
    const Quantised q = quantise(*table, std::vector<float>(64, 0.0F), 1, 64);
    REQUIRE(q.scale[0] == 0.0F);
    REQUIRE(q.values[5] == 0);
  }
}

TEST_CASE("int8 products equal whole-number arithmetic for every shape and processor", "[engine]") {
  struct Shape {
    std::int64_t outputs, inputs, rows;
  };
  for (const Shape shape :
       {Shape{16, 64, 1}, {40, 72, 2}, {100, 200, 7}, {48, 128, 10}, {33, 300, 33}, {64, 64, 300}}) {
    const Weights weights(shape.outputs, shape.inputs);
    const auto x = normal(at(shape.rows * shape.inputs), 5);
    Quantised q = quantise(*kernels("generic"), x, shape.rows, shape.inputs);
    const std::int64_t padded = (shape.inputs + 63) / 64 * 64;
    for (const Table* table : tables()) {
      INFO(table->name << " " << shape.outputs << "x" << shape.inputs << " rows " << shape.rows);
      std::vector<float> out(at(shape.rows * shape.outputs));
      table->multiply(weights.matrix(), q.rows(), 0, weights.matrix().blocks(), out.data());
      double worst = 0;
      for (std::int64_t r = 0; r < shape.rows; ++r)
        for (std::int64_t n = 0; n < shape.outputs; ++n) {
          std::int64_t sum = 0;
          for (std::int64_t k = 0; k < shape.inputs; ++k)
            sum += q.values[at(r * padded + k)] * weights.plain[at(n * shape.inputs + k)];
          const double expected =
              static_cast<double>(sum) * q.scale[at(r)] * weights.scale[at(n)] + weights.bias[at(n)];
          worst = std::max(worst, std::abs(expected - static_cast<double>(out[at(r * shape.outputs + n)])));
        }
      REQUIRE(worst < 1e-5);
    }
  }
}

TEST_CASE("a gated int8 product is silu of its first half times its second, for every processor", "[engine]") {
  const Weights weights(96, 200);
  for (const std::int64_t rows : {1, 2, 7, 10, 13, 33, 300}) {
    const auto x = normal(at(rows * 200), 15);
    for (const Table* table : tables()) {
      INFO(table->name << " rows " << rows);
      Quantised q = quantise(*table, x, rows, 200);
      std::vector<float> plain(at(rows * 96)), gated(at(rows * 48));
      table->multiply(weights.matrix(), q.rows(), 0, 6, plain.data());
      table->multiply_gated(weights.matrix(), q.rows(), 0, 3, gated.data());
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t n = 0; n < 48; ++n) {
          const double gate = plain[at(r * 96 + n)], value = plain[at(r * 96 + 48 + n)];
          REQUIRE(static_cast<double>(gated[at(r * 48 + n)]) ==
                  Approx(gate / (1 + std::exp(-gate)) * value).epsilon(1e-5).margin(1e-6));
        }
    }
  }
}

TEST_CASE("a row's int8 product does not depend on the rows beside it, to the last bit", "[engine]") {
  const Weights weights(80, 192);
  constexpr std::int64_t rows = 45;
  const auto x = normal(rows * 192, 6);
  for (const Table* table : tables()) {
    INFO(table->name);
    Quantised q = quantise(*table, x, rows, 192);
    std::vector<float> together(rows * 80), alone(80);
    table->multiply(weights.matrix(), q.rows(), 0, 5, together.data());
    for (std::int64_t r = 0; r < rows; ++r) {
      std::vector<std::int8_t> row(32 * 192);
      std::copy_n(q.values.begin() + r * 192, 192, row.begin());
      table->multiply(weights.matrix(), {row.data(), &q.scale[at(r)], &q.sum[at(r)], 1, 192}, 0, 5, alone.data());
      REQUIRE(std::memcmp(alone.data(), &together[at(r * 80)], 80 * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("RMSNorm and gated SiLU follow their formulas", "[engine]") {
  constexpr std::int64_t rows = 3, size = 100;
  const auto x = normal(rows * size * 2, 7, 3.0F), weight = normal(size, 8);
  for (const Table* table : tables()) {
    INFO(table->name);
    std::vector<float> out(rows * size);
    table->rms_norm(x.data(), weight.data(), 1e-6F, rows, size, out.data());
    for (std::int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (std::int64_t i = 0; i < size; ++i) squares += std::pow(static_cast<double>(x[at(r * size + i)]), 2);
      for (std::int64_t i = 0; i < size; ++i)
        REQUIRE(static_cast<double>(out[at(r * size + i)]) ==
                Approx(weight[at(i)] * x[at(r * size + i)] / std::sqrt(squares / size + 1e-6)).margin(1e-6));
    }
    table->silu_mul(x.data(), rows, size, out.data());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < size; ++i) {
        const double gate = x[at(r * 2 * size + i)], up = x[at(r * 2 * size + size + i)];
        REQUIRE(static_cast<double>(out[at(r * size + i)]) ==
                Approx(gate / (1 + std::exp(-gate)) * up).epsilon(1e-5).margin(1e-6));
      }
  }
}

namespace {

/// The kernels' attention with this window and cap against its definition, for every instruction set.
void check_attention(std::int64_t window, float softcap) {
  constexpr std::int64_t heads = 6, kv_heads = 2, dim = 32, prefix = 150, capacity = 96, prefix_capacity = 160;
  const std::vector<std::int64_t> slot{0, 0, 0, 1, 2, 2}, limit{1, 2, 3, 90, 65, 66};
  const auto tokens = static_cast<std::int64_t>(slot.size());
  const auto query = normal(at(tokens * heads * dim), 9);
  const auto prefix_keys = normal(at(kv_heads * prefix_capacity * dim), 10);
  const auto prefix_values = normal(prefix_keys.size(), 11);
  const auto own_keys = normal(at(3 * kv_heads * capacity * dim), 12), own_values = normal(own_keys.size(), 13);
  const auto key = [&](const std::vector<float>& keys, std::int64_t offset, std::int64_t token, std::int64_t d) {
    return static_cast<double>(keys[at(offset + token / 16 * 16 * dim + d * 16 + token % 16)]);
  };
  for (const Table* table : tables()) {
    INFO(table->name << ", window " << window << ", softcap " << softcap);
    std::vector<float> out(query.size());
    Attention a{query.data(),
                out.data(),
                heads,
                kv_heads,
                dim,
                prefix_keys.data(),
                prefix_values.data(),
                prefix,
                prefix_capacity,
                own_keys.data(),
                own_values.data(),
                capacity,
                slot.data(),
                limit.data(),
                window,
                softcap};
    std::vector<float> scratch(at(a.scratch(tokens)));
    for (std::int64_t h = 0; h < kv_heads; ++h) table->attend(a, h, 0, tokens, scratch.data());
    double worst = 0;
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t kv = h / (heads / kv_heads), own = (slot[at(t)] * kv_heads + kv) * capacity * dim;
        std::vector<double> weights;
        double peak = -1e300, total = 0;
        const std::int64_t end = prefix + limit[at(t)],
                           begin = window > 0 ? std::max<std::int64_t>(0, end - window) : 0;
        for (std::int64_t j = begin; j < end; ++j) {
          double score = 0;
          for (std::int64_t d = 0; d < dim; ++d)
            score +=
                static_cast<double>(query[at((t * heads + h) * dim + d)]) *
                (j < prefix ? key(prefix_keys, kv * prefix_capacity * dim, j, d) : key(own_keys, own, j - prefix, d));
          if (softcap > 0) score = static_cast<double>(softcap) * std::tanh(score / static_cast<double>(softcap));
          weights.push_back(score);
          peak = std::max(peak, score);
        }
        for (double& weight : weights) total += weight = std::exp(weight - peak);
        for (std::int64_t d = 0; d < dim; ++d) {
          double expected = 0;
          for (std::int64_t j = begin; j < end; ++j)
            expected += weights[at(j - begin)] / total *
                        static_cast<double>(j < prefix ? prefix_values[at((kv * prefix_capacity + j) * dim + d)]
                                                       : own_values[at(own + (j - prefix) * dim + d)]);
          worst = std::max(worst, std::abs(expected - static_cast<double>(out[at((t * heads + h) * dim + d)])));
        }
      }
    REQUIRE(worst < 2e-5);
    // A token alone gives the same bits.
    const std::vector<float> together = out;
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t h = 0; h < kv_heads; ++h) table->attend(a, h, t, t + 1, scratch.data());
    REQUIRE(std::memcmp(together.data(), out.data(), out.size() * sizeof(float)) == 0);
  }
}

}  // namespace

TEST_CASE("attention over prefix and own cache equals one softmax over both", "[engine]") {
  check_attention(0, 0);
  check_attention(0, 1.5F);
  for (const std::int64_t window : {1, 3, 64, 70, 100, 216, 240}) check_attention(window, window % 2 == 0 ? 0 : 3.0F);
}
