// The sums that end a layer's experts: each token's choices and its shared expert, weighted.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/experts/rounded.h"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 128;

// kWide adjacent elements of a row of y: a 16-byte word in one load, or one element.
template <Type kType, int kWide>
struct Elements {
  float v[kWide];
  __device__ static __forceinline__ Elements at(const void* row, int64_t col) {
    Elements n;
    if constexpr (kWide == 1) {
      n.v[0] = value_at(row, kType, col);
    } else if constexpr (kType == Type::kF32) {
      static_assert(kWide == 4);
      const float4 four = *reinterpret_cast<const float4*>(static_cast<const float*>(row) + col);
      n.v[0] = four.x, n.v[1] = four.y, n.v[2] = four.z, n.v[3] = four.w;
    } else {
      static_assert(kWide == 8);
      const uint4 word = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(row) + col);
      const uint32_t twos[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 two = floats_of(twos[i]);
        n.v[2 * i] = two.x, n.v[2 * i + 1] = two.y;
      }
    }
    return n;
  }
  __device__ static __forceinline__ float2 floats_of(uint32_t two) {
    if constexpr (kType == Type::kBf16) {
      return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&two));
    } else {
      return __half22float2(*reinterpret_cast<const __half2*>(&two));
    }
  }
};

// A row to add to a token: every part of its choices, then of the shared expert.
struct Addend {
  const void* row = nullptr;
  float weight = 0;
  bool there = false;
};
__device__ __forceinline__ const void* row_of(const Matrix& m, Type type, int64_t row) {
  return static_cast<const uint8_t*>(m.data) + row * m.stride * type_bytes(type);
}
template <Type kType, bool kPlain>
__device__ __forceinline__ Addend addend_of(const Combine& c, int64_t token, int i) {
  if constexpr (kPlain) {
    const int64_t pair = token * c.top_k + i;
    return {row_of(c.y, kType, pair), c.scale * (c.weights != nullptr ? c.weights[pair] : 1.0f), c.ids[pair] >= 0};
  }
  const int of_choices = static_cast<int>(c.top_k) * c.parts;
  if (i >= of_choices) {
    const int part = i - of_choices;
    if (c.shared.data == nullptr || part >= c.shared_parts) return {};
    return {row_of(c.shared, kType, token * c.shared_parts + part), c.shared_scale * c.shared_weights[token], true};
  }
  const int64_t pair = token * c.top_k + i / c.parts;
  const bool there = c.ids[pair] >= 0;
  const int64_t row = c.row_of == nullptr ? pair : there ? c.row_of[pair] : 0;
  return {row_of(c.y, kType, row * c.parts + i % c.parts), c.scale * (c.weights != nullptr ? c.weights[pair] : 1.0f),
          there};
}

// An element as two_elements() of tile_sm90.cuh writes it.
__device__ __forceinline__ float rounded(Type type, float v) {
  if (type == Type::kBf16) return __bfloat162float(__float2bfloat16_rn(v));
  constexpr float kMost = 65504.0f;
  return __half2float(__float2half_rn(fminf(fmaxf(v, -kMost), kMost)));
}

// Adds all of a token's rows to `sum`, in their order, from column `col` on.
template <Type kType, int kWide, bool kPlain, Type kRounds>
__device__ __forceinline__ void add_all(const Combine& c, int64_t token, int64_t col, float (&sum)[kWide]) {
  constexpr int kTogether = kPlain ? 4 : 8;  // rows in flight together; fewer leave registers for more blocks
  const int n = static_cast<int>(c.top_k) * c.parts + (c.shared.data != nullptr ? c.shared_parts : 0);
  for (int first = 0; first < n; first += kTogether) {
    Addend addends[kTogether];
    Elements<kType, kWide> values[kTogether];
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {  // ids are loaded beside the rows, not before
      if (first + i >= n) continue;
      addends[i] = addend_of<kType, kPlain>(c, token, first + i);
      values[i] = Elements<kType, kWide>::at(addends[i].row, col);
    }
#pragma unroll
    for (int i = 0; i < kTogether * kWide; ++i) {
      const Addend& addend = addends[i / kWide];
      float v = values[i / kWide].v[i % kWide];
      if constexpr (kRounds != Type::kF32) v = rounded(kRounds, v);
      if (addend.there) sum[i % kWide] = __fmaf_rn(addend.weight, v, sum[i % kWide]);
    }
  }
}

// A thread's elements of out.
template <int kWide>
__device__ __forceinline__ void load_out(const Combine& c, int64_t token, int64_t col, float (&sum)[kWide]) {
  if constexpr (kWide > 1) {
    if (c.out.type == Type::kF32) {
      const auto* from =
          reinterpret_cast<const float4*>(static_cast<const float*>(c.out.data) + token * c.out.stride + col);
#pragma unroll
      for (int i = 0; i < kWide / 4; ++i) {
        const float4 four = from[i];
        sum[4 * i] = four.x, sum[4 * i + 1] = four.y, sum[4 * i + 2] = four.z, sum[4 * i + 3] = four.w;
      }
      return;
    }
  }
#pragma unroll
  for (int k = 0; k < kWide; ++k) sum[k] = at(c.out, token, col + k);
}
template <int kWide>
__device__ __forceinline__ void store_out(const Combine& c, int64_t token, int64_t col, const float (&sum)[kWide]) {
  if constexpr (kWide > 1) {
    if (c.out.type == Type::kF32) {
      auto* to = reinterpret_cast<float4*>(static_cast<float*>(c.out.data) + token * c.out.stride + col);
#pragma unroll
      for (int i = 0; i < kWide / 4; ++i) {
        to[i] = make_float4(sum[4 * i], sum[4 * i + 1], sum[4 * i + 2], sum[4 * i + 3]);
      }
      return;
    }
  }
#pragma unroll
  for (int k = 0; k < kWide; ++k) put(c.out, token, col + k, sum[k]);
}

__device__ __forceinline__ void clear_counters(const Combine& c) {
  if (blockIdx.x > 0 || blockIdx.y > 0) return;
  for (int i = threadIdx.x; i < c.n_counters; i += static_cast<int>(blockDim.x)) c.counters[i] = 0;
}

// kPlain: a pair's row of y is one row, and there is no shared expert. Index arithmetic would bound many tokens.
template <Type kType, int kWide, bool kPlain, Type kRounds>
__global__ void __launch_bounds__(kThreads) combine_kernel(Combine c) {
  let_next_begin();
  wait_for_input();
  const int64_t token = blockIdx.x;
  const int64_t col = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWide;
  clear_counters(c);
  if (col >= c.out.cols) return;
  float sum[kWide];
  load_out(c, token, col, sum);
  add_all<kType, kWide, kPlain, kRounds>(c, token, col, sum);
  store_out(c, token, col, sum);
}

bool in_words(const Combine& c, int64_t wide) {
  const auto whole = [&](const Matrix& m) { return m.data == nullptr || (m.cols % wide == 0 && rows_aligned(m, 16)); };
  return whole(c.y) && whole(c.shared) && whole(c.out);
}

template <Type kType, Type kRounds = Type::kF32>
void launch(const Combine& c, cudaStream_t stream) {
  constexpr int kWide = 16 / type_bytes(kType);
  const bool wide = in_words(c, kWide);
  const auto across = static_cast<unsigned>(ceil_div(c.out.cols, kThreads * (wide ? kWide : 1)));
  const bool plain = c.parts == 1 && c.shared.data == nullptr && c.row_of == nullptr;
  const auto kernel = !wide   ? combine_kernel<kType, 1, false, kRounds>
                      : plain ? combine_kernel<kType, kWide, true, kRounds>
                              : combine_kernel<kType, kWide, false, kRounds>;
  launch_after(kernel, {dim3(static_cast<unsigned>(c.out.rows), across), dim3(kThreads), 0, stream}, c);
}

}  // namespace

void combine(const Combine& c, cudaStream_t stream) {
  if (c.out.rows == 0) return;
  switch (c.y.type) {
    case Type::kF32:
      return launch<Type::kF32>(c, stream);
    case Type::kF16:
      return launch<Type::kF16>(c, stream);
    case Type::kBf16:
      return launch<Type::kBf16>(c, stream);
  }
}

void combine_rounded(const Combine& c, Type type, cudaStream_t stream) {
  if (c.out.rows == 0) return;
  if (type == Type::kF16) return launch<Type::kF32, Type::kF16>(c, stream);
  launch<Type::kF32, Type::kBf16>(c, stream);
}

}  // namespace polymath::backend::cuda
