#pragma once

// Attention with an online softmax (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135): over the
// shared prefix once for a whole group of rows, then over each token's own cache, the two merged in the running
// maximum and sum (their log-sum-exp). Included by the per-instruction-set source only.

#include <limits>

#include "engine/kernels/kernels.hpp"
#include "engine/kernels/vector.hpp"

namespace {

using gavel::kernels::Attention;

constexpr std::int64_t key_block = Attention::key_block;  // fixed, so that a row's sums never depend on its batch
constexpr int vectors_per_group = 16 / lanes;
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Rows of queries that share one key/value head, with their running softmax; all of it in the caller's scratch, since
/// a template of the standard library compiled here would be linked into code for lesser processors.
struct Rows {
  std::int64_t count, dim;
  float *query, *out, *scores, *maximum, *total;

  Rows(std::int64_t rows, std::int64_t head_dim, float* scratch)
      : count(rows),
        dim(head_dim),
        query(scratch),
        out(query + rows * dim),
        scores(out + rows * dim),
        maximum(scores + rows * key_block),
        total(maximum + rows) {
    for (std::int64_t i = 0; i < rows * dim; ++i) out[i] = 0.0F;
    for (std::int64_t r = 0; r < rows; ++r) {
      maximum[r] = -infinity;
      total[r] = 0.0F;
    }
  }
};

/// scores[r][key] = query[r] . key for R rows and G groups of 16 keys.
template <int R, int G>
inline void score_groups(const float* query, std::int64_t dim, const float* keys, float* scores) {
  Vector acc[R][G][vectors_per_group] = {};
  for (std::int64_t d = 0; d < dim; ++d) {
    Vector key[G][vectors_per_group];
    for (int g = 0; g < G; ++g)
      for (int v = 0; v < vectors_per_group; ++v) key[g][v] = load(keys + (g * dim + d) * 16 + v * lanes);
    for (int r = 0; r < R; ++r) {
      const Vector q = broadcast(query[r * dim + d]);
      for (int g = 0; g < G; ++g)
        for (int v = 0; v < vectors_per_group; ++v) acc[r][g][v] += q * key[g][v];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int g = 0; g < G; ++g)
      for (int v = 0; v < vectors_per_group; ++v) store(scores + r * key_block + g * 16 + v * lanes, acc[r][g][v]);
}

/// The same for rows [first, last), as many at once as the register file holds.
template <int G, int R = lanes == 16 ? 8 : 4>
inline void score_rows(const Rows& rows, std::int64_t first, std::int64_t last, const float* keys, std::int64_t key) {
  if constexpr (R > 0) {
    for (; first + R <= last; first += R)
      score_groups<R, G>(rows.query + first * rows.dim, rows.dim, keys, rows.scores + first * key_block + key);
    if (first < last) score_rows<G, R - 1>(rows, first, last, keys, key);
  }
}

/// out[r][d..] += p[r][key] * value[key][d..] for R rows and V vectors of the head.
template <int R, int V>
inline void add_values(const float* p, const float* values, std::int64_t dim, std::int64_t keys, float* out) {
  Vector acc[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) acc[r][v] = load(out + r * dim + v * lanes);
  for (std::int64_t key = 0; key < keys; ++key) {
    Vector value[V];
    for (int v = 0; v < V; ++v) value[v] = load(values + key * dim + v * lanes);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) acc[r][v] += p[r * key_block + key] * value[v];
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) store(out + r * dim + v * lanes, acc[r][v]);
}

template <int R>
inline void add_values(const float* p, const float* values, std::int64_t dim, std::int64_t keys, float* out) {
  std::int64_t d = 0;
  for (; d + 4 * lanes <= dim; d += 4 * lanes) add_values<R, 4>(p, values + d, dim, keys, out + d);
  for (; d + lanes <= dim; d += lanes) add_values<R, 1>(p, values + d, dim, keys, out + d);
}

template <int R = 4>
inline void add_rows(const Rows& rows, std::int64_t first, std::int64_t last, const float* values, std::int64_t keys) {
  if constexpr (R > 0) {
    for (; first + R <= last; first += R)
      add_values<R>(rows.scores + first * key_block, values, rows.dim, keys, rows.out + first * rows.dim);
    if (first < last) add_rows<R - 1>(rows, first, last, values, keys);
  }
}

/// Which keys of a cache a row sees: [from, to), by the token that its `group` of rows belongs to.
struct Sight {
  const std::int64_t* limit;   ///< own tokens up to each token, itself included
  std::int64_t group, before;  ///< `before`: tokens that come before the own ones and are part of this cache
  std::int64_t window;
  bool causal;  ///< whether later keys are hidden; in the shared prefix none is later

  [[nodiscard]] std::int64_t from(std::int64_t row) const {
    const std::int64_t first = window > 0 ? before + limit[row / group] - window : 0;
    return first > 0 ? first : 0;
  }
  [[nodiscard]] std::int64_t to(std::int64_t row, std::int64_t length) const {
    return causal && limit[row / group] < length ? limit[row / group] : length;
  }
};

/// softcap * tanh(score / softcap) with tanh(x) = 1 - 2 / (e^(2x) + 1).
inline void cap_scores(float* scores, std::int64_t width, float softcap) {
  for (std::int64_t key = 0; key < width; key += lanes)
    store(scores + key, softcap * (1.0F - 2.0F / (exponential(load(scores + key) * (2.0F / softcap)) + 1.0F)));
}

/// One block of keys [begin, end), at most `key_block` of them, for rows [first, last): scores, softmax update, values.
inline void attend_block(const Rows& rows, std::int64_t first, std::int64_t last, const float* keys,
                         const float* values, std::int64_t begin, std::int64_t end, const Sight& sight, float softcap) {
  const std::int64_t dim = rows.dim, count = end - begin;
  const std::int64_t width = (count + 15) / 16 * 16;
  constexpr int wide = lanes == 16 ? 2 : 1;  // a broadcast of AVX-512 costs twice what a product does
  std::int64_t key = 0;
  for (; key + wide * 16 <= width; key += wide * 16)
    score_rows<wide>(rows, first, last, keys + (begin + key) * dim, key);
  for (; key < width; key += 16) score_rows<1>(rows, first, last, keys + (begin + key) * dim, key);
  for (std::int64_t r = first; r < last; ++r) {
    float* s = rows.scores + r * key_block;
    const std::int64_t from = sight.from(r) - begin, to = sight.to(r, end) - begin;
    if (to <= 0 || from >= to) {  // nothing to see in this block: leave the row as it is
      for (std::int64_t key = 0; key < width; ++key) s[key] = 0.0F;
      continue;
    }
    if (softcap > 0) cap_scores(s, width, softcap);
    for (std::int64_t key = 0; key < from; ++key) s[key] = -infinity;
    for (std::int64_t key = to; key < width; ++key) s[key] = -infinity;
    Vector peak = load(s);
    for (std::int64_t key = lanes; key < width; key += lanes) peak = maximum(peak, load(s + key));
    const float before = rows.maximum[r], block_peak = largest(peak), now = before > block_peak ? before : block_peak;
    Vector total{};
    for (std::int64_t key = 0; key < width; key += lanes) {
      const Vector p = exponential(load(s + key) - now);
      store(s + key, p);
      total += p;
    }
    const float keep = before == now ? 1.0F : exponential(broadcast(before - now))[0];
    rows.total[r] = rows.total[r] * keep + sum(total);
    rows.maximum[r] = now;
    if (keep != 1.0F)
      for (std::int64_t d = 0; d < dim; d += lanes) store(rows.out + r * dim + d, load(rows.out + r * dim + d) * keep);
  }
  add_rows(rows, first, last, values + begin * dim, count);
}

inline void attend_keys(const Rows& rows, std::int64_t first, std::int64_t last, const float* keys, const float* values,
                        std::int64_t length, const Sight& sight, float softcap) {
  std::int64_t begin = length;
  for (std::int64_t r = first; r < last; r += sight.group) begin = sight.from(r) < begin ? sight.from(r) : begin;
  for (begin = begin / key_block * key_block; begin < length; begin += key_block) {
    const std::int64_t end = begin + key_block < length ? begin + key_block : length;
    attend_block(rows, first, last, keys, values, begin, end, sight, softcap);
  }
}

void attend_tokens(const Attention& a, std::int64_t kv_head, std::int64_t first, std::int64_t last, float* scratch) {
  const std::int64_t group = a.heads / a.kv_heads, dim = a.head_dim;
  const Rows rows((last - first) * group, dim, scratch);
  for (std::int64_t t = first; t < last; ++t)
    std::memcpy(rows.query + (t - first) * group * dim, a.query + (t * a.heads + kv_head * group) * dim,
                static_cast<std::size_t>(group * dim) * sizeof(float));
  const std::int64_t prefix = kv_head * a.prefix_capacity * dim;
  attend_keys(rows, 0, rows.count, a.prefix_keys + prefix, a.prefix_values + prefix, a.prefix_length,
              {a.limit + first, group, a.prefix_length, a.window, false}, a.softcap);
  for (std::int64_t t = first; t < last;) {  // runs of tokens of one sequence share its own cache
    std::int64_t stop = t, longest = 0;
    for (; stop < last && a.slot[stop] == a.slot[t]; ++stop)
      longest = a.limit[stop] > longest ? a.limit[stop] : longest;
    const std::int64_t own = (a.slot[t] * a.kv_heads + kv_head) * a.own_capacity * dim;
    attend_keys(rows, (t - first) * group, (stop - first) * group, a.own_keys + own, a.own_values + own, longest,
                {a.limit + first, group, 0, a.window, true}, a.softcap);
    t = stop;
  }
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const float scale = 1.0F / rows.total[r];
    float* out = a.out + ((first + r / group) * a.heads + kv_head * group + r % group) * dim;
    for (std::int64_t d = 0; d < dim; d += lanes) store(out + d, load(rows.out + r * dim + d) * scale);
  }
}

}  // namespace
