#include "engine/ops.hpp"

#include <ATen/ATen.h>

#include "catch.hpp"

namespace ops = gavel::ops;
using at::Tensor;

namespace {

double difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

Tensor longs(std::vector<int64_t> values) {
  return at::tensor(values, at::kLong);
}

Tensor tiles(const Tensor& plain) {
  const int64_t n = (plain.size(0) + 15) / 16 * 16, k = (plain.size(1) + 63) / 64 * 64;
  Tensor padded = at::zeros({n, k}, at::kChar);
  padded.slice(0, 0, plain.size(0)).slice(1, 0, plain.size(1)).copy_(plain);
  return padded.reshape({n / 16, 16, k / 4, 4}).permute({0, 2, 1, 3}).contiguous();
}

}  // namespace

TEST_CASE("kernels and composed operators agree on int8 weights", "[engine]") {
  at::manual_seed(1);
  const Tensor plain = at::randint(-127, 128, {50, 72}, at::kChar), scale = at::rand({50}), bias = at::randn({50});
  const Tensor x = at::randn({7, 72}), weight = tiles(plain);
  REQUIRE(at::equal(ops::composed::untile(weight, 50, 72), plain));
  REQUIRE(difference(ops::linear_int8(x, weight, scale, bias), ops::composed::linear_int8(x, weight, scale, bias)) <
          2.0);
  // One step of the last place in an activation moves a sum by scale * 127 at most; nearly all rows agree closely.
  const Tensor far =
      (ops::linear_int8(x, weight, scale, bias) - ops::composed::linear_int8(x, weight, scale, bias)).abs().gt(1e-2);
  REQUIRE(far.sum().item<int64_t>() <= 50);
  const Tensor rows = longs({0, 49, 17});
  REQUIRE(difference(ops::rows_int8(weight, scale, rows, 72),
                     plain.index_select(0, rows).to(at::kFloat) * scale.index_select(0, rows).unsqueeze(1)) == 0);
  REQUIRE(difference(ops::composed::rows_int8(weight, scale, rows, 72), ops::rows_int8(weight, scale, rows, 72)) == 0);
}

TEST_CASE("a gated product is the activation of the plain one", "[engine]") {
  at::manual_seed(5);
  for (const int64_t half : {48, 40}) {  // in whole blocks, and not
    const Tensor weight = tiles(at::randint(-127, 128, {2 * half, 72}, at::kChar)), scale = at::rand({2 * half}) / 500,
                 bias = at::randn({2 * half});
    for (const int64_t rows : {1, 10, 37}) {
      const Tensor x = at::randn({rows, 72});
      REQUIRE(difference(ops::gated_int8(x, weight, scale, bias),
                         ops::silu_mul(ops::linear_int8(x, weight, scale, bias))) < 1e-6);
      REQUIRE(ops::gated_int8(x, weight, scale, {}).sizes() == at::IntArrayRef({rows, half}));
    }
  }
}

TEST_CASE("kernels and composed operators agree on norm, activation and pooling", "[engine]") {
  at::manual_seed(2);
  const Tensor x = at::randn({9, 70}), weight = at::randn({70}), starts = longs({0, 4, 5, 9});
  REQUIRE(difference(ops::rms_norm(x, weight, 1e-6), ops::composed::rms_norm(x, weight, 1e-6)) < 1e-5);
  REQUIRE(difference(ops::silu_mul(x), ops::composed::silu_mul(x)) < 1e-5);
  REQUIRE(difference(ops::pool(x, starts), ops::composed::pool(x, starts)) < 1e-5);
  REQUIRE(difference(ops::pool(x, starts)[1], x[4]) == 0);
}

TEST_CASE("kernels and composed attention agree through prefill, ragged extension and decode steps", "[engine]") {
  at::manual_seed(3);
  constexpr int64_t layers = 2, heads = 6, kv = 2, dim = 16, width = (heads + 2 * kv) * dim;
  struct Caches {
    Tensor prefix_keys = at::zeros({layers, 1, kv, 48, dim}), prefix_values = at::zeros({layers, 1, kv, 48, dim}),
           own_keys = at::zeros({layers, 3, kv, 32, dim}), own_values = at::zeros({layers, 3, kv, 32, dim});
  };
  Caches a, b;
  const auto both = [&](int64_t tokens, const Tensor& slots, const Tensor& starts, const Tensor& lengths,
                        int64_t prefix) {
    const Tensor qkv = at::randn({tokens, width}), angles = at::randn({tokens, dim / 2});
    const Tensor cos = angles.cos(), sin = angles.sin();
    const bool own = prefix > 0;
    const Tensor x = ops::attend(qkv, cos, sin, slots, starts, lengths, prefix, a.prefix_keys, a.prefix_values,
                                 own ? a.own_keys : a.prefix_keys, own ? a.own_values : a.prefix_values, 1, heads, kv);
    const Tensor y =
        ops::composed::attend(qkv, cos, sin, slots, starts, lengths, prefix, b.prefix_keys, b.prefix_values,
                              own ? b.own_keys : b.prefix_keys, own ? b.own_values : b.prefix_values, 1, heads, kv);
    return difference(x, y);
  };
  REQUIRE(both(20, longs({0}), longs({0, 20}), longs({0}), 0) < 1e-5);
  REQUIRE(both(17, longs({0}), longs({0, 17}), longs({20}), 0) < 1e-5);  // the second chunk of a prefix
  REQUIRE(both(19, longs({0, 1, 2}), longs({0, 7, 8, 19}), longs({0, 0, 0}), 37) < 1e-5);
  REQUIRE(both(2, longs({2, 0}), longs({0, 1, 2}), longs({11, 7}), 37) < 1e-5);  // slot 1 has left the batch
}
