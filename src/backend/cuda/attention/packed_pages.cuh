#pragma once

// Packed pages in shared memory, and their rows as bf16, for kernels that multiply whole rows.

#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/attention/mma.cuh"

namespace polymath::backend::cuda {

constexpr int kPage = 8;  // keys that are contiguous in every cache that fits
template <int kDim, bool kPacked>
constexpr int kPageBytes = kPacked ? page_bytes(kPage, kDim) : kPage* kDim * 2;

// By a warp.
template <int kDim>
__device__ __forceinline__ void copy_page(const unsigned char* from, uint32_t to) {
  constexpr int kWords = kPageBytes<kDim, true> / 16;
  static_assert(kPageBytes<kDim, true> % 16 == 0);
#pragma unroll
  for (int first = 0; first < kWords; first += kWarp) {
    const int at = first + static_cast<int>(threadIdx.x) % kWarp;
    if (at < kWords) fetch_word(to + at * 16, from + at * 16, true);
  }
}

__device__ __forceinline__ void put_word(uint32_t at, const uint4& v) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(at), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// By a warp: two pages of keys, or of values, into 16 rows. Those outside `there` become zeros: their memory may hold
// anything.
template <int kDim>
__device__ __forceinline__ void unpack_pages(KvCode code, uint32_t from, uint32_t to, KeyRange there) {
  constexpr int kWords = kDim / 16, kRows = 2 * kPage;
  const KvDecoder decoder(code);
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < kRows * kWords; i += kWarp) {
    const int row = i / kWords, word = i % kWords;
    const uint32_t page = from + row / kPage * kPageBytes<kDim, true>;
    const KvScale scale(load_float(page + kPage * kDim + row % kPage * 4));
    Sixteen v = unpacked(decoder, scale, load_word(page + (row % kPage * kWords + word) * 16));
    if (row < there.begin || row >= there.end) v = {};
    put_word(to + Rows<kDim>::offset(row, 2 * word), v.low);
    put_word(to + Rows<kDim>::offset(row, 2 * word + 1), v.high);
  }
}

}  // namespace polymath::backend::cuda
