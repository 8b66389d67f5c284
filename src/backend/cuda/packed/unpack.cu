// Cells back into rows of bf16, for the kernels of plain weights; and dummy cells.

#include "backend/cuda/launch.cuh"
#include "backend/cuda/packed/cell_codes.cuh"
#include "backend/cuda/packed/packed.h"
#include "quant/generated.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// A lane's operand of 16 inputs to its two rows.
template <class C, int kStep>
__device__ __forceinline__ void put_step(const Unpack& p, uint16_t* to, const int64_t (&rows)[2], int64_t input,
                                         const typename C::Words& words) {
  constexpr uint32_t kFactor = C::kFactor == 1 ? 0x3f803f80u : 0x46004600u;  // 1 or 2^13
  static_assert(C::kFactor == 1 || C::kFactor == 0x1p13f);
  uint32_t a[4];
  C::template fragments<kStep>(words, a);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t row = rows[i % 2], k = input + i / 2 * 8;
    // Pairs: the stride is even, and what lies between cols and the stride is zero in the cell.
    if (row >= 0 && row < p.rows && k < p.w.stride) {
      *reinterpret_cast<uint32_t*>(to + row * p.w.stride + k) = bf16_mul(a[i], kFactor);
    }
  }
}

// A warp a cell. Slabs from `first` on have rows of the range.
template <class C>
__global__ void __launch_bounds__(kThreads) unpack_kernel(Unpack p, int64_t first, int64_t n_slabs) {
  wait_for_input();
  const CellGrid grid(p.w.rows, p.w.cols, p.w.glu);
  const int lane = threadIdx.x % kWarp;
  const auto* const data = static_cast<const uint8_t*>(p.w.data);
  const int64_t of_group = n_slabs * grid.cells, n = p.w.groups * of_group;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < n;
       i += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t group = i / of_group, slab = first + i % of_group / grid.cells, cell = i % grid.cells;
    const typename C::Words words = C::load(data + ((group * grid.slabs + slab) * grid.cells + cell) * C::kBytes);
    auto* const to = static_cast<uint16_t*>(p.to) + group * p.rows * p.w.stride;
    int64_t rows[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = row_of_slab(p.w.rows, p.w.glu, slab, lane / 4 + 8 * half);
      rows[half] = row < p.w.rows ? row - p.row_begin : -1;
    }
    const int64_t input = cell * kCellCols + lane % 4 * 2;
    put_step<C, 0>(p, to, rows, input, words);
    put_step<C, 1>(p, to, rows, input + 16, words);
    put_step<C, 2>(p, to, rows, input + 32, words);
    put_step<C, 3>(p, to, rows, input + 48, words);
  }
}

template <class C>
void unpack(const Unpack& p, cudaStream_t stream) {
  // A gated weight's rows lie in slabs of both halves.
  const int64_t first = p.w.glu ? 0 : p.row_begin / kCellRows;
  const int64_t end = p.w.glu ? p.w.grid().slabs : ceil_div(p.row_begin + p.rows, kCellRows);
  const int64_t cells = p.w.groups * (end - first) * p.w.grid().cells;
  const auto blocks = static_cast<unsigned>(min(ceil_div(cells, kWarps), static_cast<int64_t>(1 << 16)));
  if (blocks > 0) launch_after(unpack_kernel<C>, {dim3(blocks), dim3(kThreads), 0, stream}, p, first, end - first);
}

// Words past the codes are `scales`.
struct Dummy {
  uint8_t* data;
  int64_t words;  // of 4 bytes
  int cell_words, code_words;
  uint32_t scales, code_mask;
  uint64_t key;
};
__global__ void __launch_bounds__(kThreads) generate_kernel(Dummy p) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < p.words;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const bool code = i % p.cell_words < p.code_words;
    reinterpret_cast<uint32_t*>(p.data)[i] =
        code ? static_cast<uint32_t>(quant::mix_word(p.key + static_cast<uint64_t>(i) * quant::kWeyl)) & p.code_mask
             : p.scales;
  }
}

uint32_t bf16_of(float v) {
  uint32_t bits;
  static_assert(sizeof(bits) == sizeof(v));
  __builtin_memcpy(&bits, &v, sizeof(v));
  return bits >> 16;
}

// Bytes of a cell's codes, and a word of its scales such that random codes have the deviation.
struct DummyScales {
  int code_bytes;
  uint32_t word;
};
DummyScales dummy_scales(Cell cell, float deviation) {
  constexpr float kDeviationOf8 = 73.9f, kDeviationOf4 = 4.61f, kDeviationOf6 = 18.5f, kDeviationOfFp4 = 2.83f;
  constexpr float kDeviationOfFp8 = 116;
  const float scale4 = deviation / kDeviationOf4;
  if (cell == Cell::kI8) {
    const __half scale = __float2half_rn(deviation / kDeviationOf8);
    const uint32_t bits = __half_as_ushort(scale);
    return {I8Cell::kScales, bits << 16 | bits};
  }
  if (cell == Cell::kU4) {
    const uint32_t minimum = bf16_of(-7.5f * scale4 / U4Cell::kFactor);
    return {U4Cell::kScales, minimum << 16 | bf16_of(scale4 * U4Cell::kRaised)};
  }
  if (cell == Cell::kU6) {
    const uint32_t bits = bf16_of(deviation / kDeviationOf6);
    return {U6Cell::kScales, bits << 16 | bits};
  }
  if (cell == Cell::kFp8) {
    const uint32_t bits = bf16_of(deviation / kDeviationOfFp8 * Fp8Cell::kRaised);
    return {Fp8Cell::kScales, bits << 16 | bits};
  }
  int exponent = 127;
  for (float left = deviation / kDeviationOfFp4; left < 1 && exponent > 1; left *= 2) --exponent;
  return {Fp4Cell::kScales, static_cast<uint32_t>(exponent) * 0x01010101u};
}

}  // namespace

void unpack_cells(const Unpack& p, cudaStream_t stream) {
  if (p.w.cell == Cell::kI8) return unpack<I8Cell>(p, stream);
  if (p.w.cell == Cell::kU4) return unpack<U4Cell>(p, stream);
  if (p.w.cell == Cell::kU6) return unpack<U6Cell>(p, stream);
  if (p.w.cell == Cell::kFp8) return unpack<Fp8Cell>(p, stream);
  unpack<Fp4Cell>(p, stream);
}

void generate_cells(const GenerateCells& g, cudaStream_t stream) {
  const WeightMatrix& w = g.w;
  const CellGrid grid = w.grid();
  const int64_t begin = cell_row_of(w.rows, w.glu, g.row_begin).slab;
  const int64_t end = cell_row_of(w.rows, w.glu, g.row_begin + g.rows - 1).slab + 1;
  const int64_t bytes = cell_bytes(w.cell), all = (end - begin) * grid.cells * bytes;
  const DummyScales scales = dummy_scales(w.cell, g.deviation);
  constexpr uint32_t kNoNan = 0xfefefefeu;  // E4M3's NaN has all bits of the mantissa
  const Dummy p{static_cast<uint8_t*>(const_cast<void*>(w.data)) + begin * grid.cells * bytes,
                all / 4,
                static_cast<int>(bytes / 4),
                scales.code_bytes / 4,
                scales.word,
                w.cell == Cell::kFp8 ? kNoNan : ~0u,
                g.key + static_cast<uint64_t>(g.row_begin)};
  const auto blocks = static_cast<unsigned>(min(ceil_div(p.words, kThreads), static_cast<int64_t>(1 << 16)));
  if (blocks > 0) generate_kernel<<<blocks, kThreads, 0, stream>>>(p);
}

}  // namespace polymath::backend::cuda
