// Included by row.cpp once for each instruction set, in a namespace of its own, with GAVEL_LANES floats to a vector.

constexpr std::size_t lanes = GAVEL_LANES;
static_assert(row_block % lanes == 0);
typedef float Vector __attribute__((vector_size(lanes * sizeof(float))));
typedef std::int32_t Integers __attribute__((vector_size(lanes * sizeof(std::int32_t))));

inline Vector load(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

/// The row's last vector, filled up with values that neither raise a maximum nor add to a sum.
inline Vector load_tail(const float* x, std::size_t n) {
  float values[lanes];
  for (std::size_t i = 0; i < lanes; ++i) values[i] = i < n ? x[i] : -std::numeric_limits<float>::infinity();
  return load(values);
}

inline Vector broadcast(float x) {
  return x - Vector{};
}

/// e^x for x <= 0, to 2 ulp; 0 below -87, also for -inf. x = k ln 2 + r, then a polynomial in r.
inline Vector exponential(Vector x) {
  constexpr float magic = 12582912.0F;  // 1.5 * 2^23: a float this large has no fraction, so adding it rounds
  const Vector shifted = x * 1.44269504F + magic;
  const Vector k = shifted - magic;
  const Vector r = (x - k * 0.693145752F) - k * 1.42860677e-6F;
  Vector p = broadcast(1.0F / 720);
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  Integers exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  exponent = (exponent - 0x4B400000 + 127) << 23;
  Vector power;
  std::memcpy(&power, &exponent, sizeof power);
  return x < -87.0F ? Vector{} : p * power;
}

bool block_maxima(const float* x, std::size_t n, float* maxima) {
  Vector poison{};  // 0 * x is NaN for what is not finite, and stays
  for (std::size_t start = 0; start < n; start += row_block) {
    const std::size_t end = std::min(n, start + row_block);
    Vector most = broadcast(-std::numeric_limits<float>::infinity());
    std::size_t i = start;
    for (; i + lanes <= end; i += lanes) {
      const Vector v = load(x + i);
      most = v > most ? v : most;
      poison += v * 0.0F;
    }
    float best = -std::numeric_limits<float>::infinity();
    for (; i < end; ++i) {
      best = x[i] > best ? x[i] : best;
      poison[0] += x[i] * 0.0F;
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) best = most[lane] > best ? most[lane] : best;
    *maxima++ = best;
  }
  for (std::size_t lane = 0; lane < lanes; ++lane)
    if (!(poison[lane] == 0.0F)) return false;
  return true;
}

void block_sums(const float* x, std::size_t n, float max, float scale, float* sums) {
  for (std::size_t start = 0; start < n; start += row_block) {
    const std::size_t end = std::min(n, start + row_block);
    Vector sum{};
    std::size_t i = start;
    for (; i + lanes <= end; i += lanes) sum += exponential((load(x + i) - max) * scale);
    if (i < end) sum += exponential((load_tail(x + i, end - i) - max) * scale);
    float total = 0;
    for (std::size_t lane = 0; lane < lanes; ++lane) total += sum[lane];
    *sums++ = total;
  }
}

void weights(const float* x, std::size_t n, float max, float scale, float* out) {
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const Vector w = exponential((load(x + i) - max) * scale);
    std::memcpy(out + i, &w, sizeof w);
  }
  if (i == n) return;
  const Vector w = exponential((load_tail(x + i, n - i) - max) * scale);
  std::memcpy(out + i, &w, (n - i) * sizeof(float));
}
