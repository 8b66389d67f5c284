#pragma once

// Every kernel's entry: plain numbers and device pointers, so that a .cu file includes nothing of absl's (which costs
// nvcc four seconds a file). A launch goes on `stream`; whether it failed is asked by Device::launched().
//
// Nothing here waits for the device. What only the device knows (tokens of an expert, queries of a sequence) is looked
// up by the blocks: a grid is as large as it may have to be, and blocks without work end at once.

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string_view>

#include "backend/params.h"
#include "routing/router.h"

namespace polymath::backend::cuda {

enum class Type : int { kF32, kF16, kBf16 };
constexpr int64_t type_bytes(Type type) { return type == Type::kF32 ? 4 : 2; }

// A matrix in device memory, [rows, cols]; `stride` numbers from one row to the next.
struct Matrix {
  void* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;
  Type type = Type::kF32;
};

// Whether every row begins at a multiple of `bytes`.
inline bool rows_aligned(const Matrix& m, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(m.data) % static_cast<uintptr_t>(bytes) == 0 &&
         m.stride * type_bytes(m.type) % bytes == 0;
}

// A weight in device memory, [groups][rows][stride]: rows of whole 16-byte words, zeros behind `cols`.
struct WeightMatrix {
  const void* data = nullptr;
  int64_t groups = 1, rows = 0, cols = 0, stride = 0;
  Type type = Type::kF32;
};
constexpr int64_t weight_stride(int64_t cols, Type type) {
  const int64_t word = 16 / type_bytes(type);
  return (cols + word - 1) / word * word;
}

// Pairs sorted by expert, as ExpertGroups.
struct Groups {
  const int32_t* offsets = nullptr;  // [n_experts + 1]
  const int32_t* pairs = nullptr;
  int n_experts = 0;
  int64_t n_pairs = 0;  // at most; offsets[n_experts] are
};

// --- elementwise.cu ---
// An id outside the table gives NaNs.
void embed(const WeightMatrix& table, const int32_t* ids, float scale, const Matrix& y, cudaStream_t stream);
void norm(const NormParams& params, const Matrix& x, const Matrix& y, cudaStream_t stream);
void rope(const RopeParams& params, const int32_t* positions, const Matrix& x, cudaStream_t stream);
void copy_heads(int heads, int width, const Matrix& from, int64_t from_stride, const Matrix& to, int64_t to_stride,
                cudaStream_t stream);
void scale_rows(const float* factors, const Matrix& x, cudaStream_t stream);
// A row outside x gives zeros: behind the pairs of a routing that dropped some, row numbers are stale.
void gather_rows(const Matrix& x, const int32_t* rows, const Matrix& y, cudaStream_t stream);
// y[i] = factors[i] * glu(x[i]); null factors: 1. Columns of y behind half of x's become zeros.
void glu(const GluParams& params, const Matrix& x, const float* factors, const Matrix& y, cudaStream_t stream);
// y = scale * clamp(y + bias), in place.
void finish_linear(const LinearEpilogue& epilogue, const Matrix& y, cudaStream_t stream);
// y += scale * bias.
void add_bias(const float* bias, float scale, const Matrix& y, cudaStream_t stream);
// y = x in y's type; columns of y behind x's are zeros.
void convert(const Matrix& x, const Matrix& y, cudaStream_t stream);

// --- kv.cu ---
// A block of the cache holds, for each kv head, its keys [block_size][key_dim]; then, for each head, its values.
struct Kv {
  void* data = nullptr;
  int n_kv_heads = 0, key_dim = 0, value_dim = 0, block_size = 0;
  bool latent = false;
  Type type = Type::kF32;
};
void kv_write(const Kv& kv, const Matrix& k, const Matrix& v, const int32_t* slots, cudaStream_t stream);

// --- attention.cu ---
constexpr int kKeyDimMax = 640;    // more: refused by check_kv (the keys of a run stand in shared memory)
constexpr int kValueDimMax = 512;  // more: refused by check_kv (the sums stand in registers)
struct AttentionProblem {
  AttentionParams params;
  Matrix q, out;
  Kv kv;
  int n_tokens = 0, n_seqs = 0;  // every sequence has a query
  int keys_most = 0;             // of a sequence; 0: not known
  const int32_t *positions = nullptr, *query_start = nullptr;
  const int32_t* kv_len = nullptr;  // null: positions tell; 0: a row that only fills the step up, its output is zeros
  const int32_t* block_table = nullptr;
  int64_t table_cols = 0;
  const int32_t* table_stride = nullptr;  // on the device; null: table_cols
  float* partial = nullptr;               // scratch for keys that are cut in splits
  int64_t partial_floats = 0;
  unsigned* counters = nullptr;  // zeros, and zeros again afterwards; too few: attention_tensor cuts no keys
  int64_t n_counters = 0;
  int n_multiprocessors = 0;
};
void attention(const AttentionProblem& problem, cudaStream_t stream);

// --- attention_tensor.cu ---
// The same on tensor cores, with queries and weights rounded to bf16. False: nothing is done, it is not for this
// problem. It is for a bf16 cache of keys and values of 64, 96, 128 or 256 numbers, not latent, in blocks of a multiple
// of 8 tokens, with rows of queries in 16-byte words and of outputs in pairs, f32 or bf16.
bool attention_tensor(const AttentionProblem& problem, cudaStream_t stream);
bool attention_tensor_takes(const AttentionProblem& problem);

// --- attention_single.cu ---
// The same where every sequence has one query. REQUIRES: attention_tensor is for it, and n_tokens == n_seqs > 0.
void attention_single(const AttentionProblem& problem, cudaStream_t stream);

// --- attention_latent.cu ---
// The same over a latent cache of DeepSeek's shape: keys of 576 numbers, values of 512, without sinks.
bool attention_latent(const AttentionProblem& problem, cudaStream_t stream);

// --- routing.cu ---
struct RouteProblem {
  routing::RouterConfig config;
  const float* logits = nullptr;
  int64_t n = 0, stride = 0;
  const float* bias = nullptr;
  const int32_t* tokens = nullptr;
  int32_t* ids = nullptr;
  float* weights = nullptr;
};
// The routing of a layer for few tokens: logits of the router, ids and weights, pairs by expert, all in one launch.
constexpr int kRouteTokensMax = 128;   // more: the ops one by one
constexpr int kRouteExpertsMax = 256;  // more: the ops one by one
constexpr int kRouteGroup = 16;        // tokens of a cluster
constexpr int kRouteCounters = 1;
constexpr int kRoutePairsMax = 2048;  // more: the ops one by one
constexpr int kRouteTopKMax = 32;     // more (a lane each): the ops one by one
struct RouteExperts {
  Matrix x;             // bf16, 16-byte words, cols a multiple of 8
  WeightMatrix router;  // f32 or bf16 [n_experts, cols]
  WeightMatrix gate;  // [1, cols] in the same, of an expert beside; or data null: its weight is the sigmoid of x gate^T
  float* gate_weights = nullptr;
  const float* router_bias = nullptr;
  RouteProblem route;  // without logits: they stay in the kernel
  int32_t *offsets = nullptr, *pairs = nullptr;
  int64_t* load = nullptr;
  unsigned* counters = nullptr;  // [kRouteCounters] zeros, and zeros again afterwards
};
struct RouteKernels {
  const char* name;
  void (*route)(const RouteProblem& problem, cudaStream_t stream);
  void (*route_experts)(const RouteExperts& problem, cudaStream_t stream);  // null: there is none
};
const RouteKernels* find_route(std::string_view name);  // null: no kernels of that name

// --- qkv.cu ---
constexpr int kQkvHeadMax = 256;
struct PrepareQkv {
  QkvParams params;  // norm: of heads, or none; head_dim at most kQkvHeadMax
  Matrix qkv;        // f32
  const int32_t *positions = nullptr, *slots = nullptr;
  Kv kv;  // not latent
};
void prepare_qkv(const PrepareQkv& problem, cudaStream_t stream);
// That and attention, of single tokens, in one launch of attention_single.cu; q in `qkv` stays as it is. False: nothing
// is done, it is not for this problem.
bool attention_of_qkv(const AttentionProblem& attention, const PrepareQkv& qkv, cudaStream_t stream);

// --- latent.cu ---
// y[:, g * y_group_stride ..] = x[:, g * x_group_stride ..] w[g]^T
struct HeadsProduct {
  Matrix x, y;  // x: f32 or bf16
  WeightMatrix w;
  int64_t x_group_stride = 0, y_group_stride = 0;
};
// False: not launched: more than 128 rows, not bf16 weights, more than 512 inputs a group, or no whole words.
bool linear_heads(const HeadsProduct& product, int n_multiprocessors, cudaStream_t stream);

constexpr int kLatentMost = 512, kLatentRotatedMax = 128;  // numbers of a key
// But for the product with key_up.
struct PrepareLatent {
  LatentParams params;  // kv_lora at most kLatentMost, rope.dims at most kLatentRotatedMax
  Matrix q, k, q_full;  // f32
  const int32_t *positions = nullptr, *slots = nullptr;
  Kv kv;  // latent
};
void prepare_latent(const PrepareLatent& problem, cudaStream_t stream);
// With it, in one launch. False: nothing is done: linear_heads is not for it.
bool prepare_latent(const PrepareLatent& problem, const HeadsProduct& key_up, int n_multiprocessors,
                    cudaStream_t stream);

// --- sample.cu ---
void sample(const Matrix& logits, const SampleParams* params, int32_t* ids, cudaStream_t stream);
// tokens[i] = chosen[rows[i]] where rows[i] >= 0.
void take_sampled(const int32_t* chosen, const int32_t* rows, int32_t* tokens, int64_t n, cudaStream_t stream);

// --- grouping.cu ---
void group_by_expert(const int32_t* ids, int64_t n_pairs, int n_experts, int32_t* offsets, int32_t* pairs,
                     int64_t* load, cudaStream_t stream);
// row_of[pairs[j]] = j.
void invert_pairs(const Groups& groups, int32_t* row_of, cudaStream_t stream);

// --- combine.cu ---
// out[t] += scale * sum over t's choices, in order, of weight * y[row]; the row is row_of[pair], or the pair itself
// where row_of is null. Null weights: 1. Then out[t] += shared_scale * shared_weights[t] * shared[t], if there is one.
// What came in parts (ExpertProduct) is the sum of `parts` rows from row * parts on.
struct Combine {
  Matrix y;  // f32, and so is shared
  int parts = 1, shared_parts = 1;
  const int32_t *ids = nullptr, *row_of = nullptr;
  const float* weights = nullptr;
  int64_t top_k = 1;
  float scale = 1;
  Matrix shared;  // data null: none
  const float* shared_weights = nullptr;
  float shared_scale = 1;
  Matrix out;
  unsigned* counters = nullptr;  // that are made zeros, or null
  int n_counters = 0;
};
void combine(const Combine& combine, cudaStream_t stream);

// --- plain.cu ---
// Products in f32 of any types: right everywhere, and not fast.
//   groups.offsets null: every group g of w: y[:, g * y_group_stride ..] = x[:, g * x_group_stride ..] w[g]^T
//   else: y[j] = x[gather ? pairs[j] / top_k : j] w[expert of j]^T
struct PlainProduct {
  Matrix x, y;  // rows of x: of the whole step
  WeightMatrix w;
  LinearEpilogue epilogue;
  bool round_input = false;  // x is rounded to bf16 first
  Groups groups;
  int64_t top_k = 1;
  bool gather = false;
  int64_t x_group_stride = 0, y_group_stride = 0;
};
void plain_product(const PlainProduct& product, cudaStream_t stream);

// --- linear_narrow.cu ---
// y = [y +] scale * clamp(x w^T + bias) of a few rows. Gated: y[t] = factors[t] * glu(x w^T), w [2 * intermediate,
// cols].
constexpr int64_t kLinearNarrowRowsMax = 16;
struct NarrowProduct {
  Matrix x, y;     // x: bf16, 16-byte words, cols a multiple of 8; gated: y's cols behind intermediate become zeros
  WeightMatrix w;  // bf16, one group
  LinearEpilogue epilogue;
  bool gated = false;
  GluParams glu;
  const float* factors = nullptr;  // or null: 1
  int parts = 1;                   // of the inputs; set by linear_narrow
};
void linear_narrow(NarrowProduct product, int n_multiprocessors, cudaStream_t stream);

// --- linear_few.cu ---
// The same for some tens of rows, on tensor cores that the copy engine feeds. REQUIRES: not gated, cols > 0; w no
// output of the step, y f32 where it is added to.
constexpr int64_t kLinearFewRowsMax = 64;
// False: not launched: more rows, a weight that is not cut among blocks, or no whole words.
bool linear_few(const NarrowProduct& product, int n_multiprocessors, cudaStream_t stream);

// --- experts_narrow.cu, experts_wide.cu ---
// One of the two products of a group of gated networks with bf16 weights, on tensor cores.
//   first:  intermediate[j] = glu(f * (x[pairs[j] / top_k] w[e]^T) + bias), bf16; f: the pair's weight where
//   weight_on_input second: y[pairs[j]] = intermediate[j] w[e]^T + bias, f32; in parts of the inputs: y[pairs[j] *
//   parts + part], to be added up
struct ExpertProduct {
  Matrix x;  // bf16, 16-byte words, cols a multiple of 8; second: intermediate
  WeightMatrix w;
  const float* bias = nullptr;
  Groups groups;
  int64_t top_k = 1;
  bool first = true;
  GluParams glu;
  const float* input_weights = nullptr;  // [n_pairs] by pair, or null
  Matrix y;                              // first: intermediate (cols: of the stride, padded with zeros)
  int parts = 1;                         // more: for the second of experts_few alone
  bool sorted = true;                    // x by pair; else it has the tokens, for the first of experts_few alone
};
constexpr int64_t kUnsortedTokensMax = 8;  // tokens of a step; more: the inputs are sorted by pair
constexpr int64_t kNarrowTokensMax = 32;   // more in a step: the wide kernel
// For few tokens: every weight is read once, by one block; bound by memory.
void experts_narrow(const ExpertProduct& product, int64_t n_tokens, cudaStream_t stream);
// For many: tiles in shared memory.
void experts_wide(const ExpertProduct& product, cudaStream_t stream);

// Whether the two below take it; x is sorted by pair (gather_pairs), unless the first says not. Weights may be f16 too;
// then x and the intermediate numbers are.
bool experts_tensor_takes(const ExpertProduct& product);

// --- experts_one.cu ---
// The experts of one token, and of a shared network that needs no choosing: y += scale * the sum of
// glu(f * x gate_up[e]^T) down[e]^T over them, weights and intermediate numbers bf16; an expert of -1 adds nothing.
constexpr int kOneTokenChoicesMax = 32;
struct OneToken {
  Matrix x, y;                               // of one row; x: bf16 in 16-byte words
  WeightMatrix gate_up, down;                // a group an expert
  const int32_t* experts = nullptr;          // [n_choices]
  const float* factors = nullptr;            // f; or null: 1
  int n_choices = 0;                         // at most kOneTokenChoicesMax
  WeightMatrix shared_gate_up, shared_down;  // data null: none
  const float* shared_factors = nullptr;     // [1], or null: 1
  GluParams glu;
  float scale = 1;
  void* intermediate = nullptr;  // [n_choices * intermediate + shared intermediate] bf16, for the kernel
  unsigned* counter = nullptr;   // once zero
};
// False: not launched, numbers that are no whole words, or more than shared memory holds.
bool experts_one(const OneToken& token, int n_multiprocessors, cudaStream_t stream);

// --- experts_few.cu ---
// Both products of a group in one launch, and those of a shared network with it: a group of one that every token
// visits.
constexpr int kFewTokens = 64;                // of a tile; fewer than that for each expert on average
constexpr int64_t kFewSharedTokensMax = 128;  // more: the shared network's products are cuBLAS's
constexpr int kFewCounters = 1 + 2 * routing::kExpertsMax + kFewSharedTokensMax / kFewTokens;
struct FewExperts {
  ExpertProduct first, second;
  const ExpertProduct *shared_first = nullptr, *shared_second = nullptr;  // of the same type as the group's
  unsigned* counters = nullptr;  // [kFewCounters] zeros, and not zeros afterwards: combine() clears them
};
// False: not launched, the driver refuses. REQUIRES: experts_tensor_takes() each product, and there are pairs.
bool experts_few(const FewExperts& experts, int n_multiprocessors, cudaStream_t stream);

// --- experts_many.cu ---
// One product of many tokens. False: not launched, the driver refuses. REQUIRES: experts_tensor_takes() it.
bool experts_many(const ExpertProduct& product, int n_multiprocessors, cudaStream_t stream);
// y[j] = x[pairs[j] / top_k], rows of 16-byte words of 2-byte numbers.
void gather_pairs(const Matrix& x, const Groups& groups, int64_t top_k, const Matrix& y, cudaStream_t stream);

// --- generate.cu ---
// Rows [0, rows) of a weight from `to` on, as quant/generated.h has them. quantiles: [4096] scaled and rounded, device.
struct Generate {
  uint64_t key = 0;
  const float* quantiles = nullptr;
  int64_t offset = 0, rows = 0, cols = 0, row_stride = 0, col_stride = 1;
  void* to = nullptr;
  int64_t stride = 0;
  Type type = Type::kF32;
};
void generate(const Generate& generate, cudaStream_t stream);

// --- fault.cu ---
void make_fault(cudaStream_t stream);

// --- limits.cu ---
// Reads every byte; `sink` gets a number that depends on them.
void read_all(const void* data, int64_t bytes, float* sink, int n_multiprocessors, cudaStream_t stream);

}  // namespace polymath::backend::cuda
