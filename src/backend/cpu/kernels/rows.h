#pragma once

// Loops over rows: packing, epilogues of tiles, norms, rotation, softmax (see kernels.h).

#include "backend/cpu/kernels/int8_rows.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kPackSteps = 256;  // a run of steps whose packed form stays in the L1 cache

// Steps [begin, begin + n) of a row as words: n elements, or n pairs. The last pair may have one element only.
INLINE void row_words(const PackArgs& t, const void* row, int64_t begin, int64_t n, uint32_t* out) {
  const int64_t first = t.pairs ? 2 * begin : begin;
  int64_t count = t.pairs ? 2 * n : n;
  if (first + count > t.cols) {
    count = t.cols - first;
    out[n - 1] = 0;
  }
  const DType to = t.pairs ? DType::kBf16 : DType::kF32;
  const char* from = static_cast<const char*>(row) + first * (t.from == DType::kF32 ? 4 : 2);
  if (t.from == to) {
    __builtin_memcpy(out, from, static_cast<size_t>(count) * (t.pairs ? 2 : 4));
    return;
  }
  for_vectors(count, [&](int64_t, auto get, auto put) { put(out, to, get(from, t.from)); });
}

// In groups of pack_steps words, which a row copies at once.
INLINE void pack_groups(const PackArgs& t) {
  const int64_t steps = t.pairs ? (t.cols + 1) / 2 : t.cols, group = t.pack_steps;
  uint32_t words[kPackSteps];
  for (int64_t begin = 0; begin < steps; begin += kPackSteps) {
    const int64_t n = steps - begin < kPackSteps ? steps - begin : kPackSteps;
    const int64_t whole = (n + group - 1) / group * group;
    for (int r = 0; r < t.m; ++r) {
      row_words(t, t.rows[r], begin, n, words);
      for (int64_t k = n; k < whole; ++k) words[k] = 0;
      uint32_t* out = t.out + begin * t.m + r * group;
      for (int64_t k = 0; k < whole; k += group) {
        __builtin_memcpy(out + k * t.m, words + k, static_cast<size_t>(group) * sizeof(uint32_t));
      }
    }
  }
}

void pack(const PackArgs& t) {
  if (t.int8) return pack_int8(t);
  if (t.pack_steps > 1) return pack_groups(t);
  const int64_t steps = t.pairs ? (t.cols + 1) / 2 : t.cols;
  uint32_t words[kPackSteps];
  for (int64_t begin = 0; begin < steps; begin += kPackSteps) {
    const int64_t n = steps - begin < kPackSteps ? steps - begin : kPackSteps;
    uint32_t* out = t.out + begin * t.m;
    for (int r = 0; r < t.m; ++r) {
      if (t.m == 1) {
        row_words(t, t.rows[0], begin, n, out);
        continue;
      }
      row_words(t, t.rows[r], begin, n, words);
      for (int64_t k = 0; k < n; ++k) out[k * t.m + r] = words[k];
    }
  }
}

void store(const StoreArgs& t) {
  const size_t bytes = t.dtype == DType::kF32 ? 4 : 2;
  for (int r = 0; r < t.rows; ++r) {
    for (int half = 0; half < 2; ++half) {
      const float* acc = t.acc + r * kTile + half * kPanel;
      const int64_t col = t.columns.col[half];
      const float* bias = t.bias == nullptr ? nullptr : t.bias + col;
      char* y = static_cast<char*>(t.y) + (r * t.y_stride + col) * bytes;
      for_vectors(t.columns.n[half], [&](int64_t, auto get, auto put) {
        F32 v = get(acc, DType::kF32);
        if (bias != nullptr) v += get(bias, DType::kF32);
        if (t.clamp > 0) v = larger(smaller(v, splat(t.clamp)), splat(-t.clamp));
        v *= t.scale;
        if (t.accumulate) v += get(y, t.dtype);
        put(y, t.dtype, v);
      });
    }
  }
}

void glu_tile(const GluTileArgs& t) {
  float gate_bias[kPanel] = {}, up_bias[kPanel] = {};
  if (t.gate_bias != nullptr) {
    for (int i = 0; i < t.n; ++i) {
      gate_bias[i] = t.gate_bias[i];
      up_bias[i] = t.up_bias[i];
    }
  }
  const int words = t.pairs ? (t.n + 1) / 2 : t.n;
  for (int r = 0; r < t.m; ++r) {
    const float* acc = t.acc + r * kTile;
    const float factor = t.row_scale == nullptr ? 1.0f : t.row_scale[r];
    uint32_t result[kPanel];
    for (int i = 0; i < kPanel; i += kLanes) {
      const F32 gate = load_as<F32>(acc + i) * factor + load_as<F32>(gate_bias + i);
      const F32 up = load_as<F32>(acc + kPanel + i) * factor + load_as<F32>(up_bias + i);
      store_row(result, t.pairs ? DType::kBf16 : DType::kF32, i, vector_glu(t.glu, gate, up));
    }
    uint32_t* out = t.out + r * t.row_stride;
    if (t.word_stride == 1) {
      __builtin_memcpy(out, result, static_cast<size_t>(words) * sizeof(uint32_t));
      continue;
    }
    for (int i = 0; i < words; ++i) out[i * t.word_stride] = result[i];
  }
}

void add(const AddArgs& t) {
  for_vectors(t.n, [&](int64_t, auto get, auto put) {
    F32 v = get(t.acc, DType::kF32);
    if (t.bias != nullptr) v += get(t.bias, DType::kF32);
    put(t.out, DType::kF32, get(t.out, DType::kF32) + v * t.weight);
  });
}

INLINE I32 lane_numbers() {
  I32 v;
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

INLINE F32 scaled_scores(const SoftmaxArgs& t, int i) {
  const F32 v = load_as<F32>(t.scores + i) * t.scale;
  return t.key_scales == nullptr ? v : v * load_as<F32>(t.key_scales + i);
}

float softmax(SoftmaxArgs& t) {
  const DType to = t.pairs ? DType::kBf16 : DType::kF32;
  if (t.begin >= t.end) {
    for (int i = 0; i < t.n; i += kLanes) store_row(t.scores, to, i, F32{});
    return 1;
  }
  const I32 lanes = lane_numbers();
  const F32 nothing = splat(-__builtin_inff());
  F32 top = splat(t.max);
  for (int i = 0; i < t.n; i += kLanes) {
    const I32 at = lanes + i;
    const F32 v = scaled_scores(t, i);
    top = larger(top, (at >= t.begin) & (at < t.end) ? v : nothing);
  }
  const float max = max_lanes(top);
  const float alpha = vector_exp(splat(t.max - max))[0];
  F32 sum = F32{};
  for (int i = 0; i < t.n; i += kLanes) {
    const I32 at = lanes + i;
    const F32 p = vector_exp(scaled_scores(t, i) - max);
    const I32 seen = (at >= t.begin) & (at < t.end);
    sum += seen ? p : F32{};
    const F32 weight = t.value_scales == nullptr ? p : p * load_as<F32>(t.value_scales + i);
    store_row(t.scores, to, i, seen ? weight : F32{});
  }
  t.max = max;
  t.sum = t.sum * alpha + sum_lanes(sum);
  return alpha;
}

INLINE void norm_segment(const NormArgs& t, const void* x, void* y, int64_t n) {
  const NormParams& p = *t.params;
  F32 sum = F32{}, squares = F32{};
  float mean = 0;
  if (p.kind == NormKind::kLayer) {
    for_vectors(n, [&](int64_t, auto get, auto) { sum += get(x, t.x_dtype); });
    mean = sum_lanes(sum) / static_cast<float>(n);
  }
  for_vectors(n, [&](int64_t i, auto get, auto) {
    F32 v = get(x, t.x_dtype) - mean;
    if (mean != 0 && i + kLanes > n) {  // the lanes past the end hold -mean
      for (int64_t j = n - i; j < kLanes; ++j) v[j] = 0;
    }
    squares += v * v;
  });
  const float inverse = 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(n) + p.eps);
  for_vectors(n, [&](int64_t, auto get, auto put) {
    F32 v = (get(x, t.x_dtype) - mean) * inverse;
    if (p.weight != nullptr) v *= get(p.weight, DType::kF32);
    if (p.bias != nullptr) v += get(p.bias, DType::kF32);
    put(y, t.y_dtype, v);
  });
}

void norm(const NormArgs& t) {
  const int64_t n = t.cols / t.params->segments;
  const int64_t x_bytes = t.x_dtype == DType::kF32 ? 4 : 2, y_bytes = t.y_dtype == DType::kF32 ? 4 : 2;
  for (int64_t i = 0; i < t.params->segments; ++i) {
    norm_segment(t, static_cast<const char*>(t.x) + i * n * x_bytes, static_cast<char*>(t.y) + i * n * y_bytes, n);
  }
}

// Pairs [begin, begin + n) of every head. Cosines and sines are separated once for all heads.
INLINE void rope_pairs(const RopeParams& p, const float* table, const Row& x, int begin, int n) {
  constexpr int kPairs = 64;
  float cosines[kPairs], sines[kPairs];
  for (int j = 0; j < n; ++j) {
    cosines[j] = table[2 * (begin + j)];
    sines[j] = table[2 * (begin + j) + 1];
  }
  const int64_t bytes = x.dtype == DType::kF32 ? 4 : 2;
  for (int h = 0; h < p.heads; ++h) {
    char* head = static_cast<char*>(x.data) + (static_cast<int64_t>(h) * p.head_stride + p.offset) * bytes;
    if (!p.interleaved) {
      char* a = head + begin * bytes;
      char* b = a + p.dims / 2 * bytes;
      for_vectors(n, [&](int64_t, auto get, auto put) {
        const F32 va = get(a, x.dtype), vb = get(b, x.dtype);
        const F32 c = get(cosines, DType::kF32), s = get(sines, DType::kF32);
        put(a, x.dtype, va * c - vb * s);
        put(b, x.dtype, vb * c + va * s);
      });
      continue;
    }
    float pair[2 * kPairs];
    char* at = head + 2 * begin * bytes;
    for_vectors(2 * n, [&](int64_t, auto get, auto put) { put(pair, DType::kF32, get(at, x.dtype)); });
    for (int j = 0; j < n; ++j) {
      const float va = pair[2 * j], vb = pair[2 * j + 1];
      pair[2 * j] = va * cosines[j] - vb * sines[j];
      pair[2 * j + 1] = vb * cosines[j] + va * sines[j];
    }
    for_vectors(2 * n, [&](int64_t, auto get, auto put) { put(at, x.dtype, get(pair, DType::kF32)); });
  }
}

void rope(const RopeParams& p, const float* table, const Row& x) {
  for (int begin = 0; begin < p.dims / 2; begin += 64) {
    rope_pairs(p, table, x, begin, p.dims / 2 - begin < 64 ? p.dims / 2 - begin : 64);
  }
}

void glu(const GluParams& p, const Row& x, const Row& y, int64_t n) {
  const char* up = static_cast<const char*>(x.data) + n * (x.dtype == DType::kF32 ? 4 : 2);
  for_vectors(n, [&](int64_t, auto get, auto put) {
    put(y.data, y.dtype, vector_glu(p, get(x.data, x.dtype), get(up, x.dtype)));
  });
}

void scale(const Row& x, const Row& y, int64_t n, float factor) {
  for_vectors(n, [&](int64_t, auto get, auto put) { put(y.data, y.dtype, get(x.data, x.dtype) * factor); });
}

void add_scaled(const Row& x, float factor, const Row& y, int64_t n) {
  for_vectors(n, [&](int64_t, auto get, auto put) {
    put(y.data, y.dtype, get(y.data, y.dtype) + get(x.data, x.dtype) * factor);
  });
}

}  // namespace
}  // namespace polymath::backend::cpu
