#pragma once

// A device, its memory, and the operations of a forward pass.
//
// The primitives are pure virtual. A fused op has a default that composes primitives. This default is the oracle of
// every override. A backend is complete when it compiles. tests/conformance compares each op with backend/reference.
//
// Tensors are matrices [rows, cols] of f32 unless said otherwise. "act" means f32 or bf16. Accumulation is f32.
// No op allocates: reserve() sets memory aside for the largest step. A wrong shape is our own fault: CHECK.
//
// Determinism: an output element depends on its own row and its sequence's KV alone. Every sum runs in a fixed order.
// "cuda" promises it in batch_invariant.h only. Else the same step gives the same bits. Sums are then split by the
// step's shape, so two shapes may round differently.
//
// Thread safety: none; one thread drives a backend.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/kv_packing.h"
#include "backend/params.h"
#include "backend/variant.h"
#include "base/status.h"
#include "quant/generated.h"
#include "quant/weight.h"
#include "routing/router.h"
#include "tensor/tensor.h"

namespace polymath::backend {

using quant::Weight;
using quant::WeightShape;
using tensor::Buffer;
using tensor::DType;
using tensor::Tensor;

// One layer's part of the KV cache.
struct KvShape {
  int n_kv_heads = 0;
  int key_dim = 0;
  int value_dim = 0;
  bool latent = false;  // MLA: one head; the value is the key's first value_dim elements, and is not stored
  int block_size = 16;  // tokens in a block
  int64_t n_blocks = 0;
  DType dtype = DType::kF32;             // f32 or bf16
  KvPacking packing = KvPacking::kNone;  // else dtype is bf16: what attention multiplies
};

struct KvLayer {
  KvShape shape;
  void* data = nullptr;
};

// Positions and cache slots of a step's tokens: i32 device arrays. A sequence's tokens are consecutive rows, in order.
struct StepLayout {
  int n_tokens = 0;
  int n_seqs = 0;
  Tensor positions;    // [n_tokens]
  Tensor slots;        // [n_tokens]: block * block_size + offset: where the token's KV goes
  Tensor query_start;  // [n_seqs + 1]: first row of each sequence
  Tensor kv_len;       // [n_seqs]: tokens of the sequence with KV, this step's counted in
  Tensor block_table;  // [n_seqs, blocks_max]
  // [1] i32, for a captured step: the columns that the table has at launch. At most blocks_max. Else empty.
  Tensor block_table_cols;
  int keys_most = 0;  // kv_len of every sequence, at most; 0: not known
};
// A padding row of a captured step has token -1, position 0, slot -1 and kv_len 0. It writes no KV and counts nowhere.
// A backend may skip it.

struct Routing {
  Tensor ids;      // [n_tokens, top_k] i32; -1: a dropped choice, in no group and without output
  Tensor weights;  // [n_tokens, top_k] f32
};

// Pairs (token, choice) sorted by expert, then token, then choice.
struct ExpertGroups {
  Tensor offsets;  // [n_experts + 1] i32, into `pairs`; the last is the number of pairs (dropped ones left out)
  Tensor pairs;    // [n_tokens * top_k] i32: token * top_k + choice
  Tensor load;     // [2, n_experts] i64, adds to it: each expert's pairs, and 1 where it has any; may be empty
};

// A group of gated feed-forward networks. A dense one is a group of one.
struct ExpertMlp {
  const Weight* gate_up = nullptr;      // [E, 2 * intermediate, hidden], glu
  const Weight* down = nullptr;         // [E, hidden, intermediate]
  const float* gate_up_bias = nullptr;  // [E, 2 * intermediate]: gate first, then up; or null
  const float* down_bias = nullptr;     // [E, hidden] or null
  GluParams glu;
  bool weight_on_input = false;  // Llama 4: the routing weight multiplies the expert's input, not its output
  float scale = 1;               // of what is added to `out`
};

// What a step's tokens do with a group of networks.
struct ExpertVisit {
  const ExpertMlp* mlp = nullptr;
  Routing routing;
  ExpertGroups groups;
};

// A layer's router, and what it is called with.
struct RouteExperts {
  const Weight* router = nullptr;  // [n_experts, hidden]; null: routing without logits
  const float* router_bias = nullptr;
  const float* selection_bias = nullptr;
  routing::RouterConfig config;
  routing::RouteFn route = nullptr;
  // A shared expert with a gate of its own, or null. It has n_experts 1 and a null gate. Its choices go to gate_out.
  const RouteExperts* gate = nullptr;
  Routing gate_out;
};

// What route_experts() finds.
struct RoutedTokens {
  Routing routing;
  ExpertGroups groups;
};

struct RouteParams {
  routing::RouterConfig config;
  routing::RouteFn route = nullptr;
  const float* bias = nullptr;  // [n_experts], or null
};

// y[j] = x[pairs[j] / top_k] w[expert of j]^T + bias, for each sorted pair j. gather false: y[j] = x[j] ...
struct GroupedLinear {
  const Weight* w = nullptr;
  const float* bias = nullptr;  // [E, w.rows], or null
  const ExpertGroups* groups = nullptr;
  int top_k = 1;
  bool gather = true;
};

// Inputs and output of a gated delta net: a row a token.
struct DeltaNetTensors {
  // [n, key_heads x (q | k | v | z)] f32; v and z are those of the key head's value heads.
  Tensor qkvz;
  Tensor ba;   // [n, key_heads x (b | a of its value heads)] f32
  Tensor out;  // [n, value_heads * value_dim] act
};

// States of a recurrent layer: slots of equal size, f32.
struct StateView {
  void* slots = nullptr;
  Tensor of_seq;  // [n_seqs] i32: each sequence's slot
};

// x[:, h * dim + c] *= sigmoid(gate[:, h * gate_stride + c])
struct HeadGate {
  int heads = 0, dim = 0;
  int64_t gate_stride = 0;
};

// For each of `heads`: to[:, h * to_stride ..] = from[:, h * from_stride ..], `width` elements. Both f32.
struct HeadCopy {
  int heads = 0, width = 0;
  int64_t from_stride = 0, to_stride = 0;
};

struct QkvAttention {
  QkvParams qkv;
  AttentionParams attention;
};

// Of prepare_latent().
struct LatentTensors {
  Tensor q, k, q_full;
};

// Ops that were captured and can run again. The backend that made it must outlive it.
class CapturedGraph {
 public:
  virtual ~CapturedGraph() = default;
};

// The shape of one kind of a model's experts. Their scratch is sized by it.
struct ExpertShape {
  int64_t groups = 1, hidden = 0, intermediate = 0;
  int64_t pairs_max = 0;      // of a step
  DType dtype = DType::kF32;  // that the weights are kept in; kU8: one of them is packed
};

// The largest step. reserve() sizes all scratch by it.
struct StepLimits {
  int tokens_max = 0;            // rows of a step; more are never given
  int seqs_max = 0;              // sequences of a step; more are never given
  int logit_rows_max = 0;        // rows of a step whose logits are wanted; more are never given; 0: tokens_max
  int blocks_max = 0;            // blocks of one sequence; more are never given
  int64_t hidden_max = 0;        // widest input or output of a linear
  int64_t logits_max = 0;        // logits that a step reads back; more are never asked for
  int64_t pairs_max = 0;         // tokens_max * largest top_k
  int64_t intermediate_max = 0;  // widest expert (half of gate_up's rows)
  int64_t expert_io_max = 0;     // widest input and output of an expert; 0: hidden_max
  int64_t attention_max = 0;     // largest n_heads * max(key_dim, value_dim)
  int key_dim_max = 0;           // widest key
  // Values of the largest packed weight of linear() and batched_linear(); 0: none is packed.
  int64_t packed_linear_max = 0;
  // Every kind of experts that expert_mlp() is called with. Repeats are allowed.
  std::vector<ExpertShape> experts;
};

// A call of an op, by its shapes alone: the argument of Backend::kernels_for(). An op reads the fields of its own
// parameters. No pointer is followed.
struct OpCall {
  std::string_view op;  // as KernelInfo::op
  int tokens = 1, seqs = 1;
  int keys_most = 0;                           // as StepLayout
  DType weight_dtype = DType::kF32;            // of `weight` and of the experts' weights
  const quant::QuantFormat* packed = nullptr;  // the format of `weight`, and of experts of type kU8; null: plain
  WeightShape weight;                          // linear, batched_linear; prepare_latent: key_up
  LinearEpilogue epilogue;                     // linear
  AttentionParams attention;                   // attention, attention_of_qkv
  QkvParams qkv;                               // prepare_qkv, attention_of_qkv
  LatentParams latent;                         // prepare_latent
  KvShape kv;                                  // all of attention's
  routing::RouterConfig router;                // route_experts
  routing::RouteFn route = nullptr;            // route_experts
  DType router_dtype = DType::kF32;            // route_experts
  bool has_router = true;                      // route_experts: reads logits
  routing::RouteFn gate = nullptr;             // route_experts: of a shared expert, or none
  routing::RouterConfig gate_router;
  ExpertShape experts, shared;  // expert_mlp, expert_mlp_with_shared
  ExpertMlp mlp;                // of `experts`: biases, GLU, weight_on_input
};

struct DeviceLimits {
  double read_gbs = 0;  // 10^9 bytes a second
  double gflops = 0;    // of a GEMM with weights of a type, 10^9 operations a second
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "reference", "cpu", "cuda"
  // To be called by each thread before its first other call, where BackendOptions::device is not 0.
  virtual void use_on_this_thread() {}

  // --- memory ---
  virtual absl::StatusOr<Buffer> allocate(size_t bytes) = 0;  // zeroed device memory
  virtual void copy_in(const Tensor& to, const void* host) = 0;
  virtual void copy_out(void* host, const Tensor& from) = 0;  // waits until `from` is computed
  // Where the host reads `from` (no gaps) after await_readback(slot). Host memory is returned as it is. Device memory
  // is copied asynchronously; this call does not wait. The copy is valid until the first readback after the slot's next
  // await_readback(). The slots are 0 and 1: one step's results are read while the next step runs.
  virtual Tensor enqueue_readback(int /*slot*/, const Tensor& from) { return from; }
  virtual void await_readback(int /*slot*/) {}
  // For tests: provokes a device fault, which health() then reports. False: this device has no such fault.
  virtual bool make_fault() { return false; }
  // kInternal: the device failed. Results since the last good health() are void.
  virtual absl::Status health() const { return absl::OkStatus(); }
  // Bytes that allocate() can still give. Negative: the backend uses host memory, so ask the operating system.
  virtual int64_t memory_available() const { return -1; }
  virtual int64_t memory_total() const { return -1; }  // of the device, used or free; negative likewise
  // Call it once, before the first op. kResourceExhausted names the bytes asked for.
  virtual absl::Status reserve(const StepLimits& limits) = 0;
  // Bytes that reserve() allocates.
  virtual size_t reserve_bytes(const StepLimits& limits) const = 0;
  // Bytes that allocate() and reserve() were asked for so far. Freed bytes still count. The allocator's rounding and
  // host memory for readbacks do not count.
  virtual size_t allocated_bytes() const = 0;
  // The type for inputs of linear and outputs of GLU and attention, by the weights' type.
  virtual DType activation_dtype(DType weight_dtype) const = 0;
  // --- steps ---
  // Ops between begin_capture() and end_capture() are captured, not run. launch() runs them on the tensors' contents of
  // that moment. False: this backend cannot capture.
  virtual bool captures_graphs() const { return false; }
  virtual void begin_capture() {}
  virtual absl::StatusOr<std::unique_ptr<CapturedGraph>> end_capture();
  virtual void launch(const CapturedGraph& /*graph*/) {}
  // Whether sample() and take_sampled() are there.
  virtual bool samples_on_device() const { return false; }
  // ids[i]: the token sampled from row i of logits. It is -1 if the row has a NaN, +infinity or nothing finite.
  // params: [n] in device memory.
  virtual void sample(const Tensor& logits, const SampleParams* params, const Tensor& ids);
  // tokens[i] = chosen[rows[i]] where rows[i] >= 0.
  virtual void take_sampled(const Tensor& chosen, const Tensor& rows, const Tensor& tokens);

  // --- weights ---
  // The format in which a weight stored as `stored` is kept. `dtype` is the type of plain weights: f32, f16 or bf16.
  // The default keeps vectors and routers in f32, all else in `dtype`. Packed weights are then unpacked at load.
  virtual const quant::QuantFormat& kept_format(const quant::QuantFormat& stored, quant::WeightUse use,
                                                DType dtype) const;
  // Bytes that make_weight() allocates, padding included.
  virtual size_t weight_bytes(const WeightShape& shape, const quant::QuantFormat& format) const = 0;
  // Zeroed memory. REQUIRES: kept_format() gave the format.
  virtual absl::StatusOr<Weight> make_weight(const WeightShape& shape, const quant::QuantFormat& format) = 0;
  // Writes `view` to rows [row_begin, row_begin + view.rows) of a group. Converts and packs, on all threads.
  // REQUIRES: a packed weight gets views of its own format. No block of several rows is cut.
  virtual void fill_weight(Weight& weight, int64_t group, int64_t row_begin, const quant::MatrixView& view) = 0;
  // The same with computed values, which are stored nowhere else. False (the default): the caller computes them and
  // calls fill_weight().
  virtual bool generate_weight(Weight& /*weight*/, int64_t /*group*/, int64_t /*row_begin*/,
                               const quant::GeneratedMatrix& /*matrix*/) {
    return false;
  }

  // --- KV ---
  virtual size_t kv_block_bytes(const KvShape& shape) const = 0;  // of one block of one layer
  // kInvalidArgument: this backend has no layout for the block size or type.
  virtual absl::Status check_kv(const KvShape& shape) const = 0;
  // k [n, n_kv_heads * key_dim], v [n, n_kv_heads * value_dim], slots [n] i32. A latent cache takes an empty v.
  virtual void kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) = 0;

  // --- primitives ---
  // y[i] = scale * table[ids[i]]; ids [n] i32, y [n, hidden]. Id -1 gives zeros, where the backend samples_on_device().
  virtual void embed(const Weight& table, const Tensor& ids, float scale, const Tensor& y) = 0;
  // x [n, cols] -> y [n, cols] act; y may be x.
  virtual void norm(const NormParams& params, const Tensor& x, const Tensor& y) = 0;
  // x [n, w.cols] act -> y [n, w.rows] act. A weight with glu gives the gate's outputs, then up's.
  virtual void linear(const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y) = 0;
  // For each group g, as MLA's absorbed projections need it:
  //   y[:, g * y_stride + [0, w.rows)] = x[:, g * x_stride + [0, w.cols)] w[g]^T
  virtual void batched_linear(const Tensor& x, int64_t x_stride, const Weight& w, int64_t y_stride,
                              const Tensor& y) = 0;
  // In place; positions [n] i32.
  virtual void rope(const RopeParams& params, const Tensor& positions, const Tensor& x) = 0;
  virtual void copy_heads(const HeadCopy& copy, const Tensor& from, const Tensor& to) = 0;
  // Every element becomes 0. Without gaps.
  virtual void zero(const Tensor& x) = 0;
  // x[i, :] *= factors[i]; factors [n].
  virtual void scale_rows(const Tensor& factors, const Tensor& x) = 0;
  // y[i] = x[rows[i]]; rows [m] i32.
  virtual void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) = 0;
  // q [n, n_heads * key_dim] -> out [n, n_heads * value_dim] act. The step's own KV is already written.
  virtual void attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                         const Tensor& out) = 0;
  virtual void gate_heads(const HeadGate& params, const Tensor& gate, const Tensor& x) = 0;
  // Whether gated_delta_net() may be called.
  virtual bool has_gated_delta_net() const { return false; }
  // For each token in order: the convolution and SiLU. Then per value head, with q and k of length 1:
  //   S *= exp(-exp(a_log) softplus(a + dt_bias));  S += k (sigmoid(b) (v - k S));  out = norm(q S / sqrt(key_dim))
  //   silu(z)
  // States are read and overwritten.
  virtual void gated_delta_net(const DeltaNetParams& params, const DeltaNetTensors& tensors, const StateView& states,
                               const StepLayout& layout);
  // logits [n, n_experts], tokens [n] i32 (ids; for hash routing).
  virtual void route(const RouteParams& params, const Tensor& logits, const Tensor& tokens, const Routing& out) = 0;
  virtual void group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) = 0;
  // Expert ids of any shape, i32, in place: those of [begin, begin + count) count from `begin`; all others become -1.
  virtual void keep_local(const Tensor& ids, int begin, int count) = 0;
  // Whether experts can move between ranks while steps run: spread_over_copies() and copy_group().
  virtual bool moves_experts() const { return false; }
  // In place, each choice becomes its expert's slot on this rank, or -1 where it visits another rank's copy. A step's
  // pairs of an expert visit its copies in turn. groups: of `ids`. copies [n_experts, 1 + copies_max] i32: how many
  // there are, then the slot of each, or -1 on another rank.
  virtual void spread_over_copies(const ExpertGroups& groups, const Tensor& copies, const Tensor& ids);
  // Writes a group of `from` over one of `to`. Both are of one format and shape. Any thread, while no op reads the
  // group that is written.
  virtual void copy_group(const Weight& from, int64_t from_group, Weight& to, int64_t to_group);
  virtual void grouped_linear(const GroupedLinear& params, const Tensor& x, const Tensor& y) = 0;
  // x [m, 2 * intermediate] (gate, then up) -> y [m, intermediate] act.
  virtual void glu(const GluParams& params, const Tensor& x, const Tensor& y) = 0;
  // out[t] += scale * sum over t's choices of weight * y[row of the pair]. The sum is in order of choice.
  virtual void combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
                       const Tensor& out) = 0;

  // --- fused ---
  // qkv [n, q | k | v] f32. Norms, rotation and q's factors are applied in place. Keys and values go into the cache.
  virtual void prepare_qkv(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv);
  // prepare_qkv, then attention. Afterwards q in `qkv` may be prepared or not.
  virtual void attention_of_qkv(const QkvAttention& params, const Tensor& qkv, const KvLayer& kv,
                                const StepLayout& layout, const Tensor& out);
  // MLA. All f32:
  //   q       [n, n_heads * (nope_dim + rope.dims)]
  //   k       [n, kv_lora + rope.dims]
  //   q_full  [n, n_heads * (kv_lora + rope.dims)]
  // k's latent elements are normalised and its key is rotated. Both go into the cache. A head of q_full is the GEMM of
  // q with key_up [n_heads, kv_lora, nope_dim], then q's rotated elements. Afterwards q and k may be prepared or not.
  virtual void prepare_latent(const LatentParams& params, const StepLayout& layout, const LatentTensors& t,
                              const Weight& key_up, const KvLayer& kv);
  // linear with the router, then route, then group_by_expert. A shared expert's gate goes first. `logits` is
  // scratch. Hash routing has no router.
  virtual void route_experts(const RouteExperts& params, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                             const RoutedTokens& out);
  // out[t] += scale * sum over t's choices of weight * mlp_expert(x[t]).
  // x [n, hidden] act, out [n, hidden] f32. The default composes grouped_linear, glu and combine.
  virtual void expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                          const Tensor& out);
  // The same for a group, then for a shared expert, which every token visits. The default runs the two in turn.
  virtual void expert_mlp_with_shared(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x,
                                      const Tensor& out);
  // Measures read bandwidth and compute, in memory that is freed again. 0: the host's limits count (LimitMeter).
  virtual DeviceLimits measure_limits(DType /*weight_dtype*/) { return {}; }

  // --- kernels ---
  // Every op family with variants or a default composition. Any thread.
  virtual std::vector<KernelInfo> kernels() const = 0;
  // The variants of call.op that fit the call. The first one would run. Empty: no such op family.
  virtual std::vector<std::string_view> kernels_for(const OpCall& call);

 protected:
  // kernels() of a backend without tables. Primitives and the fused ops of `own_ops` run `own`. Other fused ops run the
  // composition.
  static std::vector<KernelInfo> kernels_of(std::span<const KernelInfo::Variant> own,
                                            std::span<const std::string_view> own_ops);
  // Allocates the scratch of the default compositions. A backend that uses one calls it from reserve().
  absl::Status reserve_defaults(const StepLimits& limits);
  static size_t reserve_defaults_bytes(const StepLimits& limits);

 private:
  struct DefaultSizes {
    size_t gate_up = 0, intermediate = 0, down = 0, input = 0;
  };
  static DefaultSizes default_sizes(const StepLimits& limits);

  Buffer gate_up_buffer_, intermediate_buffer_, down_buffer_;
  Buffer input_buffer_;  // pairs_max_ ones, then the sorted weights
  int64_t pairs_max_ = 0;
};

struct BackendOptions {
  int threads = 0;       // 0: one a core
  std::string_view isa;  // CPU: "" (best), "portable", "avx2", "avx512", "amx"
  int device = 0;        // CUDA: index of the GPU
};

// "reference", "cpu" or, when it was built, "cuda". "auto" is the first of registry.cpp's that this machine can run.
// kNotFound lists the names. kFailedPrecondition: this machine lacks the device or the instruction set.
absl::StatusOr<std::unique_ptr<Backend>> make_backend(std::string_view name, const BackendOptions& options);

}  // namespace polymath::backend
