// qkv_prologue for many tokens: bound by the bytes of the projection. A lane has four adjacent elements of a head, and
// several tokens' loads are in flight.

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kTokens = 4;  // of a warp
constexpr int64_t kRowsLeast = 256;

template <int kDim>
struct HeadLanes {
  static constexpr int kLanes = kDim / 4, kHeads = kWarp / kLanes;  // lanes of a head, heads of a warp
  static constexpr int kHeadsOfBlock = kWarps * kHeads;
};

template <int kDim>
__device__ __forceinline__ float4 normed(float4 v, float eps, const float4& weight) {
  float squares = v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
#pragma unroll
  for (int step = HeadLanes<kDim>::kLanes / 2; step > 0; step /= 2) {
    squares += __shfl_xor_sync(kAllLanes, squares, step);
  }
  const float inverse = 1.0f / sqrtf(squares / kDim + eps);
  return make_float4(v.x * inverse * weight.x, v.y * inverse * weight.y, v.z * inverse * weight.z,
                     v.w * inverse * weight.w);
}

// An element is rotated with the one half a head on. angles: cosine and sine of the lane's elements.
template <int kDim>
__device__ __forceinline__ float4 rotated(const float4& v, const float4 (&angles)[2], bool second) {
  constexpr int kAcross = HeadLanes<kDim>::kLanes / 2;
  const float sign = second ? 1.0f : -1.0f;
  const auto turn = [&](float own, float cosine, float sine) {
    return own * cosine + sign * __shfl_xor_sync(kAllLanes, own, kAcross) * sine;
  };
  return make_float4(turn(v.x, angles[0].x, angles[0].y), turn(v.y, angles[0].z, angles[0].w),
                     turn(v.z, angles[1].x, angles[1].y), turn(v.w, angles[1].z, angles[1].w));
}

// One token's elements of a lane.
struct TokenPart {
  float4 v{};
  float4 angles[2]{};
  int position = -1;  // negative: a padding row
};

template <int kDim>
__device__ __forceinline__ void load_tokens(const QkvPrologue& p, int64_t first, int64_t at, int c,
                                            TokenPart (&tokens)[kTokens]) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (first + t >= p.qkv.rows) continue;
    TokenPart& token = tokens[t];
    token.position = p.positions[first + t];
    token.v = *reinterpret_cast<const float4*>(static_cast<const float*>(p.qkv.data) + (first + t) * p.qkv.stride + at);
  }
  if (p.params.rope.cos_sin == nullptr) return;
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (tokens[t].position < 0) continue;
    const auto* const table = reinterpret_cast<const float4*>(
        p.params.rope.cos_sin + static_cast<int64_t>(tokens[t].position) * kDim + 2 * (c % (kDim / 2)));
    tokens[t].angles[0] = table[0], tokens[t].angles[1] = table[1];
  }
}

// Packed, by whole warps. slot -1: nothing is stored.
template <int kDim>
__device__ __forceinline__ void keep_packed(const Kv& kv, int64_t slot, const float4& v, int head, bool value) {
  constexpr int kLanes = HeadLanes<kDim>::kLanes;
  const uint32_t pair = max(magnitude_bits(v.x), magnitude_bits(v.y));
  uint32_t largest = max(pair, max(magnitude_bits(v.z), magnitude_bits(v.w)));
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) {
    largest = max(largest, __shfl_xor_sync(kAllLanes, largest, step));
  }
  const float scale = scale_of_head(kv.code, largest);
  int word;
  const uint32_t codes = interleaved_codes(codes_of_four(kv.code, scale, v), word);
  if (slot < 0) return;
  const PackedPlace place = packed_place(kv, slot, head, value);
  auto* const data = static_cast<unsigned char*>(kv.data);
  reinterpret_cast<uint32_t*>(data + place.codes)[word % kLanes] = codes;
  if (threadIdx.x % kLanes == 0) *reinterpret_cast<float*>(data + place.scale) = scale;
}

// A key or value into the cache.
template <int kDim>
__device__ __forceinline__ void keep(const Kv& kv, int64_t slot, const float4& v, int head, bool value) {
  if (slot < 0) return;
  const int64_t block = slot / kv.block_size, offset = slot % kv.block_size;
  const int64_t to = value ? value_place(kv, block, head, offset) : key_place(kv, block, head, offset);
  const int c = static_cast<int>(threadIdx.x) % HeadLanes<kDim>::kLanes * 4;
  *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(kv.data) + to + c) =
      make_uint2(two_bf16(v.x, v.y), two_bf16(v.z, v.w));
}

template <int kDim>
__global__ void __launch_bounds__(kWarps* kWarp) qkv_prologue_prompt_kernel(QkvPrologue p) {
  using Lanes = HeadLanes<kDim>;
  const QkvParams& q = p.params;
  const int lane = threadIdx.x % kWarp, c = lane % Lanes::kLanes * 4, heads = q.n_heads + 2 * q.n_kv_heads;
  const int index = blockIdx.y * Lanes::kHeadsOfBlock + threadIdx.x / kWarp * Lanes::kHeads + lane / Lanes::kLanes;
  const bool is_q = index < q.n_heads, is_v = index >= q.n_heads + q.n_kv_heads;
  const float* const norm = is_q ? q.q_norm : q.k_norm;
  float4 weight = make_float4(1, 1, 1, 1);
  if (norm != nullptr) weight = *reinterpret_cast<const float4*>(norm + c);
  let_next_begin();
  wait_for_input();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTokens, at = int64_t{min(index, heads - 1)} * kDim + c;
  TokenPart tokens[kTokens];
  load_tokens<kDim>(p, first, at, c, tokens);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {  // every lane takes part in the shuffles
    float4 v = tokens[t].v;
    if (q.norm == QkvNorm::kHead) v = normed<kDim>(v, q.eps, weight);
    if (q.rope.cos_sin != nullptr) v = rotated<kDim>(v, tokens[t].angles, c >= kDim / 2);
    if (q.norm == QkvNorm::kHeadAfter) v = normed<kDim>(v, q.eps, weight);
    if (is_v) v = tokens[t].v;
    const bool there = tokens[t].position >= 0 && index < heads;
    const int64_t slot = there && !is_q ? p.slots[first + t] : -1;
    const int head = (index - q.n_heads) % q.n_kv_heads;
    if (p.kv.packed()) {
      if (__any_sync(kAllLanes, slot >= 0)) keep_packed<kDim>(p.kv, slot, v, head, is_v);
    } else {
      keep<kDim>(p.kv, slot, v, head, is_v);
    }
    if (!there || !is_q) continue;
    const float factor = q.factors != nullptr ? q.factors[first + t] : 1.0f;
    *reinterpret_cast<float4*>(static_cast<float*>(p.qkv.data) + (first + t) * p.qkv.stride + at) =
        make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor);
  }
}

template <int kDim>
void launch(const QkvPrologue& p, cudaStream_t stream) {
  const dim3 grid(
      static_cast<unsigned>(ceil_div(p.qkv.rows, kTokens)),
      static_cast<unsigned>(ceil_div(p.params.n_heads + 2 * p.params.n_kv_heads, HeadLanes<kDim>::kHeadsOfBlock)));
  launch_after(qkv_prologue_prompt_kernel<kDim>, {grid, dim3(kWarps * kWarp), 0, stream}, p);
}

}  // namespace

bool qkv_prologue_prompt_fits(const QkvPrologue& p) {
  const QkvParams& q = p.params;
  const RopeParams& rope = q.rope;
  const auto in_words = [](const float* from) { return reinterpret_cast<uintptr_t>(from) % 16 == 0; };
  const bool whole = rope.cos_sin == nullptr || (rope.dims == q.head_dim && !rope.interleaved);
  return p.qkv.rows >= kRowsLeast && (q.head_dim == 64 || q.head_dim == 128) && q.norm != QkvNorm::kWhole && whole &&
         p.kv.type == Type::kBf16 && rows_aligned(p.qkv, 16) && in_words(rope.cos_sin) && in_words(q.q_norm) &&
         in_words(q.k_norm);
}

void qkv_prologue_prompt(const QkvPrologue& p, cudaStream_t stream) {
  p.params.head_dim == 64 ? launch<64>(p, stream) : launch<128>(p, stream);
}

}  // namespace polymath::backend::cuda
