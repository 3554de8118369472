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
  REQUIRE(difference(ops::gelu(x), ops::composed::gelu(x)) < 1e-5);
  REQUIRE(difference(ops::gelu(3 * x), at::gelu(3 * x, "tanh")) < 1e-5);
  REQUIRE(difference(ops::gelu_mul(x), ops::composed::gelu_mul(x)) < 1e-5);
  const Tensor qkv = at::randn({5, 8 * 16}), both = at::randn({2, 16});  // 4 heads, 2 of keys, 2 of values
  REQUIRE(difference(ops::head_norm(qkv, both, 4, 2, 1e-6), ops::composed::head_norm(qkv, both, 4, 2, 1e-6)) < 1e-5);
  REQUIRE(difference(ops::pool(x, starts), ops::composed::pool(x, starts)) < 1e-5);
  REQUIRE(difference(ops::pool(x, starts)[1], x[4]) == 0);
}

namespace {

/// The largest difference between kernels and composed operators over a prefill in two chunks, ragged extension and
/// decode steps.
double attention_difference(int64_t rotated, double softcap, int64_t window) {
  constexpr int64_t layers = 2, heads = 6, kv = 2, dim = 16, width = (heads + 2 * kv) * dim;
  struct Caches {
    Tensor prefix_keys = at::zeros({layers, 1, kv, 208, dim}), prefix_values = at::zeros({layers, 1, kv, 208, dim}),
           own_keys = at::zeros({layers, 3, kv, 96, dim}), own_values = at::zeros({layers, 3, kv, 96, dim});
  };
  Caches a, b;
  double worst = 0;
  const auto both = [&](int64_t tokens, const Tensor& slots, const Tensor& starts, const Tensor& lengths,
                        int64_t prefix) {
    const Tensor qkv = at::randn({tokens, width}), angles = at::randn({tokens, rotated / 2});
    const Tensor cos = angles.cos(), sin = angles.sin();
    const bool own = prefix > 0;
    const auto run = [&](const auto& attend, Caches& c) {
      return attend(qkv, cos, sin, slots, starts, lengths, prefix, c.prefix_keys, c.prefix_values,
                    own ? c.own_keys : c.prefix_keys, own ? c.own_values : c.prefix_values, 1, heads, kv, 0.3, softcap,
                    window);
    };
    worst = std::max(worst, difference(run(ops::attend, a), run(ops::composed::attend, b)));
  };
  both(120, longs({0}), longs({0, 120}), longs({0}), 0);
  both(77, longs({0}), longs({0, 77}), longs({120}), 0);  // the second chunk of a prefix
  both(79, longs({0, 1, 2}), longs({0, 7, 8, 79}), longs({0, 0, 0}), 197);
  both(2, longs({2, 0}), longs({0, 1, 2}), longs({71, 7}), 197);  // slot 1 has left the batch
  return worst;
}

}  // namespace

TEST_CASE("kernels and composed attention agree through prefill, ragged extension and decode steps", "[engine]") {
  at::manual_seed(3);
  REQUIRE(attention_difference(16, 0, 0) < 1e-5);
  REQUIRE(attention_difference(12, 0, 0) < 1e-5);    // a part of each head is rotated,
  REQUIRE(attention_difference(0, 0, 0) < 1e-5);     // or none
  REQUIRE(attention_difference(16, 2.5, 0) < 1e-5);  // capped scores
  for (const int64_t window : {1, 5, 16, 64, 70, 150}) REQUIRE(attention_difference(16, 2.5, window) < 1e-5);
}

TEST_CASE("a window hides what lies before it", "[engine]") {
  at::manual_seed(4);
  // What a window hides may be anything: the same answer where it is changed.
  constexpr int64_t heads = 2, dim = 16, width = (heads + 2) * dim, window = 20;
  const auto run = [&](double hidden) {
    at::manual_seed(5);
    Tensor qkv = at::randn({100, width});
    qkv.slice(0, 0, 80).mul_(hidden);
    const Tensor keys = at::zeros({1, 1, 1, 112, dim}), values = at::zeros({1, 1, 1, 112, dim}),
                 none = at::zeros({100, 0});
    return ops::attend(qkv, none, none, longs({0}), longs({0, 100}), longs({0}), 0, keys, values, keys, values, 0,
                       heads, 1, 0.25, 0, window)[99];
  };
  REQUIRE(at::equal(run(1), run(7)));
}
