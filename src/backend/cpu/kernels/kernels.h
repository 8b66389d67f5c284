#pragma once

// The table of inner loops, one for each instruction set. The code above it is the same on every CPU.
//
// A GEMM is cut into tiles: up to rows_max rows of activations times 32 outputs, over a run of inputs. A step is one
// 4-byte word of an activation row: two inputs in bf16, one in f32. The activations of m rows are packed as
// [steps / pack_steps][m][pack_steps] words, so a tile reads one stream of each operand. A tile's weights are blocks of
// one or more steps. Each format has its own block layout (WeightKernels).
//
// Each output is one chain of sums in the order of the inputs, for every m. So a row never depends on its neighbours.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "backend/backend.h"

namespace polymath::backend::cpu {

constexpr int kPanel = 16;         // outputs of a panel
constexpr int kTile = 32;          // outputs of a tile: two panels
constexpr int kRowsMax = 96;       // the largest rows_max of any format and instruction set
constexpr int kCacheRowsMax = 32;  // the same of the KV cache's types
constexpr int kProbStride = 144;   // words from one row of attention probabilities to the next

// A row's block of 32 int8 elements: 8 words of them, a scale, sums (int8_rows.h). It fills a cache line.
constexpr int kInt8Scale = 8, kInt8Sums = 9, kInt8Whole = 11, kInt8Words = 16;

// acc[r][0..32) = [acc +] sum over steps of a[r][step] * w[step][0..32). Weights are counted in blocks. A plain type's
// block is one step.
struct TileArgs {
  int m = 0;
  const uint32_t* a = nullptr;          // packed, or rows kProbStride words apart
  const std::byte* const* w = nullptr;  // first panel of each segment: weights may lie in pieces (KV blocks)
  int64_t offset = 0;                   // bytes added to each of w
  int64_t second = 0;                   // plain types: bytes from the first panel to the second
  int64_t block_bytes = 0;              // bytes from one block to the next
  int64_t blocks = 0;                   // in all
  int64_t segment_blocks = 0;           // of each segment; the last may have fewer
  const std::byte* next = nullptr;      // what the thread reads after this tile, in the same layout; null: nothing
  int64_t next_second = 0;              // `second` of next
  int64_t ahead = 0;                    // blocks to prefetch ahead; the last `ahead` blocks prefetch from `next`
  bool cached = false;                  // w is in a cache: only `ahead` blocks of `next` are worth a prefetch
  float* acc = nullptr;
  int64_t acc_stride = kTile;
  bool accumulate = false;
};
using TileFn = void (*)(const TileArgs& args);

// One format's layout in tiles, and the loops over it.
struct WeightKernels {
  const quant::QuantFormat* format = nullptr;
  bool pairs = false;   // a step is two inputs, and activations are packed as bf16 pairs; else one, as f32
  bool int8 = false;    // activations are rounded to int8: kInt8Words steps are 32 inputs
  int rows_max = 1;     // rows of a tile; more are cut into blocks
  int pack_steps = 1;   // words of a row that lie side by side in packed activations
  int block_steps = 1;  // steps of a block
  int block_bytes = 0;  // of the tile's 32 outputs
  int run_steps = 0;    // steps that all rows multiply before the next ones; every block divides a run
  // Copy n inputs of output `lane` from a row into the tile's blocks from `block` on, and back. The row has the
  // format's own bytes. Missing inputs of the last step become 0.
  void (*scatter)(const std::byte* row, int64_t n, int lane, std::byte* block) = nullptr;
  void (*gather)(const std::byte* block, int64_t n, int lane, std::byte* row) = nullptr;
  TileFn tiles[kRowsMax + 1] = {};       // by m; activations packed
  TileFn prob_tiles[kRowsMax + 1] = {};  // activations in rows kProbStride apart; types of the KV cache only

  int inputs() const { return int8 ? block_steps / kInt8Words * 32 : block_steps * (pairs ? 2 : 1); }  // of a block
  // Words of a packed row of so many inputs.
  int64_t packed_steps(int64_t n_inputs) const {
    const int64_t steps = int8 ? n_inputs / 32 * kInt8Words : pairs ? (n_inputs + 1) / 2 : n_inputs;
    return (steps + pack_steps - 1) / pack_steps * pack_steps;
  }
};

// Where a tile's results go. Half h goes to columns [col[h], col[h] + n[h]) of a row.
struct TileColumns {
  int64_t col[2] = {0, 0};
  int n[2] = {kPanel, kPanel};
};

struct StoreArgs {
  const float* acc = nullptr;  // [rows][32]
  int rows = 0;
  TileColumns columns;
  const float* bias = nullptr;  // of column 0
  float clamp = 0;
  float scale = 1;
  bool accumulate = false;
  DType dtype = DType::kF32;
  void* y = nullptr;  // column 0 of row 0
  int64_t y_stride = 0;
};

// The epilogue of gate and up. A tile's first half is gate, its second half up. The result is packed for the next GEMM.
struct GluTileArgs {
  const float* acc = nullptr;  // [m][32]
  int m = 0;
  const float* row_scale = nullptr;  // [m]; null: 1
  const float* gate_bias = nullptr;  // [n]; null: 0
  const float* up_bias = nullptr;
  int n = kPanel;  // outputs that exist; the rest become 0
  GluParams glu;
  bool pairs = false;                   // bf16 pairs; else f32
  uint32_t* out = nullptr;              // the word of row 0 and the panel's first output
  int row_stride = 1, word_stride = 1;  // words from one row to the next, and from one output's word to the next
};

// out += weight * (acc + bias), n columns.
struct AddArgs {
  const float* acc = nullptr;
  const float* bias = nullptr;
  float weight = 1;
  int n = kTile;
  float* out = nullptr;
};

// m rows of `cols` elements, to [steps / pack_steps][m][pack_steps] words. Words past the end of a row are 0. Blocks of
// int8 are kInt8Words steps side by side, and cols is a multiple of 32.
struct PackArgs {
  const void* const* rows = nullptr;
  int m = 0;
  int64_t cols = 0;
  DType from = DType::kF32;  // f32 or bf16
  bool pairs = false;        // to bf16 pairs; else to f32
  bool int8 = false;         // to blocks of int8
  int pack_steps = 1;
  uint32_t* out = nullptr;
};

// One row of scores against one chunk of keys.
struct SoftmaxArgs {
  float* scores = nullptr;  // [n]; the probabilities take their place
  int n = 0;                // a multiple of 32; at most kProbStride
  int begin = 0, end = 0;   // keys [begin, end) may be seen
  float scale = 1;
  bool pairs = false;  // probabilities as bf16 pairs
  // [n], of packed keys and values: a score is multiplied by its key's, a probability by its value's. Null: 1.
  const float *key_scales = nullptr, *value_scales = nullptr;
  float max = 0, sum = 0;  // running; updated
};

struct NormArgs {
  const NormParams* params = nullptr;
  const void* x = nullptr;
  void* y = nullptr;
  DType x_dtype = DType::kF32, y_dtype = DType::kF32;
  int64_t cols = 0;  // of the whole row
};

struct Row {
  void* data = nullptr;
  DType dtype = DType::kF32;
};

struct Kernels {
  std::string_view isa;
  std::span<const WeightKernels> weights;
  std::span<const WeightKernels> packed, packed_int8;  // of packed formats: for f32 activations, and for bf16 ones
  std::span<const WeightKernels> caches;               // the same for the types of the KV cache, whose layout is kv.h's
  void (*pack)(const PackArgs& args);
  void (*store)(const StoreArgs& args);
  void (*glu_tile)(const GluTileArgs& args);
  void (*add)(const AddArgs& args);
  float (*softmax)(SoftmaxArgs& args);  // returns what earlier sums are multiplied by
  // Codes of packed keys or values to bf16; n is a multiple of 32.
  void (*unpack_kv)(KvPacking packing, const std::byte* codes, int64_t n, uint16_t* out);
  void (*norm)(const NormArgs& args);  // a row
  void (*rope)(const RopeParams& params, const float* table, const Row& x);
  void (*glu)(const GluParams& params, const Row& x, const Row& y, int64_t n);
  void (*scale)(const Row& x, const Row& y, int64_t n, float factor);       // y = factor * x; y may be x
  void (*add_scaled)(const Row& x, float factor, const Row& y, int64_t n);  // y += factor * x
  double (*read)(const std::byte* data, size_t bytes);                      // loads all of it; bytes % 512 == 0
  double (*multiply)(DType dtype, int64_t rounds);  // the arithmetic of a full tile, no memory: FLOP done

  const WeightKernels* find_weights(const quant::QuantFormat& format) const;  // null: no kernels for the format
  // For activations of a type. REQUIRES: there are.
  const WeightKernels& weights_of(const quant::QuantFormat& format, DType inputs) const;
  const WeightKernels& cache_of(DType dtype) const;  // the same for the KV cache
};

const Kernels& portable_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& amx_kernels();
// Asks the kernel to let this process use the tiles. False: the CPU or the system has none. Thread-safe.
bool may_use_amx();

// "" is the best this CPU runs. kInvalidArgument: no such set. kFailedPrecondition: the CPU lacks it.
absl::StatusOr<const Kernels*> choose_kernels(std::string_view isa);
// Every table, best first: whether this CPU runs it, and whether it is `in_use`.
std::vector<KernelInfo::Variant> kernel_tables(const Kernels& in_use);

}  // namespace polymath::backend::cpu
