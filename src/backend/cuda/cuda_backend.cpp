#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "backend/cuda/attention/kv_of.h"
#include "backend/cuda/attention/list.h"
#include "backend/cuda/collectives/communicator.h"
#include "backend/cuda/cuda_graph.h"
#include "backend/cuda/device.h"
#include "backend/cuda/elementwise/elementwise.h"
#include "backend/cuda/experts/runner.h"
#include "backend/cuda/fill.h"
#include "backend/cuda/probe.h"
#include "backend/cuda/queries.h"
#include "backend/cuda/result_slot.h"
#include "backend/cuda/routing/list.h"
#include "backend/cuda/sample.h"
#include "backend/cuda/scratch_sizes.h"
#include "base/log.h"

namespace polymath::backend {
namespace {

using cuda::CudaGraph;
using cuda::groups_of;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::route_problem;
using cuda::type_of;

class CudaBackend : public Backend {
 public:
  struct Parts {
    std::unique_ptr<cuda::Device> device;
    std::unique_ptr<cuda::LinearRunner> linear;
    Buffer filler_table, filler_rows;
  };
  CudaBackend(Parts parts, int threads, bool batch_invariant)
      : batch_invariant_(batch_invariant),
        device_(std::move(parts.device)),
        linear_(std::move(parts.linear)),
        experts_(*device_, *linear_, batch_invariant),
        attention_(batch_invariant),
        routing_(batch_invariant),
        filler_(*device_, threads, {std::move(parts.filler_table), std::move(parts.filler_rows)}),
        packs_(!batch_invariant) {}

  std::string_view name() const override { return "cuda"; }
  void use_on_this_thread() override { device_->use_on_this_thread(); }
  cuda::Device& device() { return *device_; }
  absl::StatusOr<Buffer> allocate(size_t bytes) override { return device_->allocate(bytes); }
  void copy_in(const Tensor& to, const void* host) override {
    CHECK(to.row_gap == 0);
    device_->copy_in(to.data, host, to.bytes());
  }
  void copy_out(void* host, const Tensor& from) override {
    CHECK(from.row_gap == 0);
    device_->copy_out(host, from.data, from.bytes());
  }
  Tensor enqueue_readback(int slot, const Tensor& from) override {
    return result_slots_[slot].enqueue_readback(*device_, from);
  }
  void await_readback(int slot) override { result_slots_[slot].await_readback(*device_); }
  bool captures_graphs() const override { return true; }
  void begin_capture() override { device_->begin_capture(); }
  absl::StatusOr<std::unique_ptr<CapturedGraph>> end_capture() override {
    ASSIGN_OR_RETURN(const cudaGraphExec_t graph, device_->end_capture());
    return std::make_unique<CudaGraph>(graph);
  }
  void launch(const CapturedGraph& graph) override { device_->launch(static_cast<const CudaGraph&>(graph).graph); }
  bool samples_on_device() const override { return true; }
  void sample(const Tensor& logits, const SampleParams* params, const Tensor& ids) override {
    CHECK(ids.shape[0] >= logits.rows() && logits.dtype == DType::kF32);
    cuda::sample(matrix_of(logits), params, ids.i32(), device_->stream());
    device_->launched("sample");
  }
  void take_sampled(const Tensor& chosen, const Tensor& rows, const Tensor& tokens) override {
    cuda::take_sampled(chosen.i32(), rows.i32(), tokens.i32(), tokens.shape[0], device_->stream());
    device_->launched("take_sampled");
  }
  bool make_fault() override {
    cuda::make_fault(device_->stream());
    return true;
  }
  absl::Status health() const override { return device_->health(); }
  int64_t memory_available() const override { return static_cast<int64_t>(device_->memory().free); }
  int64_t memory_total() const override { return static_cast<int64_t>(device_->memory().total); }
  absl::Status reserve(const StepLimits& limits) override;
  size_t reserve_bytes(const StepLimits& limits) const override;
  size_t allocated_bytes() const override { return device_->allocated_bytes(); }
  DType activation_dtype(DType weight_dtype) const override {
    return weight_dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  }

  // A router stored in bf16 stays exact in it. Packed weights are multiplied as bf16.
  const quant::QuantFormat& kept_format(const quant::QuantFormat& stored, quant::WeightUse use,
                                        DType dtype) const override {
    if (use == quant::WeightUse::kRouter && &stored == &quant::kBf16)
      return quant::plain_format(activation_dtype(dtype));
    const quant::QuantFormat* packed = packs_ && dtype == DType::kBf16 ? cuda::packed_format_of(stored, use) : nullptr;
    if (packed != nullptr) return *packed;
    return Backend::kept_format(stored, use, dtype);
  }
  size_t weight_bytes(const WeightShape& shape, const quant::QuantFormat& format) const override {
    return cuda::kept_bytes(shape, format);
  }
  absl::StatusOr<Weight> make_weight(const WeightShape& shape, const quant::QuantFormat& format) override {
    Weight w{&format, shape, {}, {}, {}};
    ASSIGN_OR_RETURN(w.data, allocate(weight_bytes(shape, format)));
    return w;
  }
  void fill_weight(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) override {
    filler_.fill(w, group, row_begin, view);
  }
  bool generate_weight(Weight& w, int64_t group, int64_t row_begin, const quant::GeneratedMatrix& matrix) override {
    return filler_.generate(w, group, row_begin, matrix);
  }

  size_t kv_block_bytes(const KvShape& s) const override {
    return static_cast<size_t>(cuda::kv_block_bytes(cuda::kv_of({s, nullptr})));
  }
  absl::Status check_kv(const KvShape& shape) const override;
  void kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) override;

  void embed(const Weight& table, const Tensor& ids, float scale, const Tensor& y) override {
    CHECK(y.cols() == table.shape.cols && table.shape.groups == 1);
    cuda::embed(cuda::weight_matrix(table), ids.i32(), scale, matrix_of(y), device_->stream());
    device_->launched("embed");
  }
  void norm(const NormParams& params, const Tensor& x, const Tensor& y) override {
    CHECK(x.cols() == y.cols() && x.rows() == y.rows() && x.cols() % params.segments == 0);
    cuda::norm(params, matrix_of(x), matrix_of(y), device_->stream());
    device_->launched("norm");
  }
  void linear(const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y) override;
  void batched_linear(const Tensor& x, int64_t x_stride, const Weight& w, int64_t y_stride, const Tensor& y) override;
  void rope(const RopeParams& params, const Tensor& positions, const Tensor& x) override {
    CHECK(positions.shape[0] == x.rows());
    cuda::rope(params, positions.i32(), matrix_of(x), device_->stream());
    device_->launched("rope");
  }
  void copy_heads(const HeadCopy& copy, const Tensor& from, const Tensor& to) override {
    CHECK(from.dtype == DType::kF32 && to.dtype == DType::kF32);
    cuda::copy_heads({copy.heads, copy.width, matrix_of(from), matrix_of(to), copy.from_stride, copy.to_stride},
                     device_->stream());
    device_->launched("copy_heads");
  }
  void gate_heads(const HeadGate& gate, const Tensor& gates, const Tensor& x) override {
    CHECK(gates.rows() == x.rows() && x.cols() == int64_t{gate.heads} * gate.dim);
    cuda::gate_heads({gate.heads, gate.dim, matrix_of(gates), matrix_of(x), gate.gate_stride}, device_->stream());
    device_->launched("gate_heads");
  }
  void zero(const Tensor& x) override { device_->zero(x.data, x.bytes()); }
  void scale_rows(const Tensor& factors, const Tensor& x) override {
    cuda::scale_rows(factors.f32(), matrix_of(x), device_->stream());
    device_->launched("scale_rows");
  }
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) override {
    CHECK(x.cols() == y.cols());
    cuda::gather_rows(matrix_of(x), rows.i32(), matrix_of(y), device_->stream());
    device_->launched("gather_rows");
  }
  void attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                 const Tensor& out) override;
  void route(const RouteParams& params, const Tensor& logits, const Tensor& tokens, const Routing& out) override;
  void group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) override;
  void keep_local(const Tensor& ids, int begin, int count) override {
    cuda::keep_local({ids.i32(), ids.shape.elements(), begin, count}, device_->stream());
    device_->launched("keep_local");
  }
  void grouped_linear(const GroupedLinear& params, const Tensor& x, const Tensor& y) override;
  void glu(const GluParams& params, const Tensor& x, const Tensor& y) override {
    CHECK(x.cols() == 2 * y.cols() && x.rows() == y.rows());
    cuda::glu(params, matrix_of(x), nullptr, matrix_of(y), device_->stream());
    device_->launched("glu");
  }
  void combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
               const Tensor& out) override;
  void prepare_qkv(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) override;
  void prepare_latent(const LatentParams& params, const StepLayout& layout, const LatentTensors& t,
                      const Weight& key_up, const KvLayer& kv) override;
  void attention_of_qkv(const QkvAttention& params, const Tensor& qkv, const KvLayer& kv, const StepLayout& layout,
                        const Tensor& out) override;
  void route_experts(const RouteExperts& params, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                     const RoutedTokens& out) override;
  void expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                  const Tensor& out) override;
  void expert_mlp_with_shared(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x,
                              const Tensor& out) override;
  DeviceLimits measure_limits(DType weight_dtype) override {
    return {.read_gbs = device_->measure_read_gbs(), .gflops = linear_->measure_gflops(type_of(weight_dtype))};
  }
  std::vector<KernelInfo> kernels() const override;
  std::vector<std::string_view> kernels_for(const OpCall& call) override {
    return cuda::kernels_for(call, {*linear_, experts_, attention_, routing_, device_->n_multiprocessors()});
  }
  bool force_kernel(std::string_view op, std::string_view variant);

 private:
  absl::Status set_aside(Buffer& buffer, int64_t bytes) {
    ASSIGN_OR_RETURN(buffer, allocate(static_cast<size_t>(bytes)));
    return absl::OkStatus();
  }
  cuda::AttentionProblem attention_problem(const AttentionParams& params, const Tensor& q, const KvLayer& kv,
                                           const StepLayout& layout, const Tensor& out) const;

  const bool batch_invariant_;
  std::unique_ptr<cuda::Device> device_;
  std::unique_ptr<cuda::LinearRunner> linear_;
  cuda::ExpertRunner experts_;
  cuda::AttentionFamilies attention_;
  cuda::RoutingFamilies routing_;
  cuda::Filler filler_;
  const bool packs_;  // a batch-invariant model is unpacked

  int64_t pairs_max_ = 0;
  Buffer partial_, row_of_pair_;  // of the largest step: partial sums of attention, the row of each pair
  std::array<cuda::ResultSlot, 2> result_slots_;
  Buffer counters_;  // zeros: of route_experts, then of attention
  const std::vector<OpFamily*> families_ = cuda::all_families({*linear_, experts_, attention_, routing_});
};

size_t CudaBackend::reserve_bytes(const StepLimits& limits) const {
  const cuda::ScratchSizes sizes(limits);
  return (sizes.composes_experts ? reserve_defaults_bytes(limits) : 0) +
         cuda::LinearRunner::reserve_bytes(sizes.linear_elements, sizes.unpacked) + experts_.reserve_bytes(limits) +
         static_cast<size_t>(sizes.partial + sizes.row_of_pair + sizes.counters);
}

absl::Status CudaBackend::reserve(const StepLimits& limits) {
  if (batch_invariant_) RETURN_IF_ERROR(cuda::check_ordered(int64_t{limits.tokens_max} + limits.seqs_max));
  const cuda::ScratchSizes sizes(limits);
  if (sizes.composes_experts) RETURN_IF_ERROR(reserve_defaults(limits));
  pairs_max_ = sizes.pairs;
  RETURN_IF_ERROR(linear_->reserve(sizes.linear_elements, sizes.unpacked));
  RETURN_IF_ERROR(set_aside(partial_, sizes.partial));
  RETURN_IF_ERROR(set_aside(row_of_pair_, sizes.row_of_pair));
  RETURN_IF_ERROR(experts_.reserve(limits));
  RETURN_IF_ERROR(set_aside(counters_, sizes.counters));
  for (auto& box : result_slots_) {
    RETURN_IF_ERROR(box.reserve(*device_, static_cast<size_t>(limits.logits_max + limits.tokens_max + 1) * 4));
  }
  device_->wait();
  return device_->health();
}

absl::Status CudaBackend::check_kv(const KvShape& s) const {
  if (s.block_size < 1 || (s.dtype != DType::kF32 && s.dtype != DType::kBf16)) {
    return absl::InvalidArgumentError("the KV cache is float32 or bfloat16, in blocks of at least one token");
  }
  if (s.packing != KvPacking::kNone && s.dtype != DType::kBf16) {
    return absl::InvalidArgumentError("a packed KV cache is unpacked to bfloat16");
  }
  if (s.key_dim > cuda::kKeyDimMax || s.value_dim > cuda::kValueDimMax) {
    return absl::InvalidArgumentError("attention on CUDA takes keys of at most 640 and values of at most 512 numbers");
  }
  return absl::OkStatus();
}

void CudaBackend::kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) {
  const KvShape& s = kv.shape;
  CHECK(k.cols() == int64_t{s.n_kv_heads} * s.key_dim && slots.shape[0] == k.rows());
  CHECK(s.latent || v.cols() == int64_t{s.n_kv_heads} * s.value_dim);
  cuda::kv_write(cuda::kv_of(kv), matrix_of(k), s.latent ? Matrix{} : matrix_of(v), slots.i32(), device_->stream());
  device_->launched("kv_write");
}

void CudaBackend::linear(const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y) {
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows && w.shape.groups == 1 && x.rows() == y.rows());
  CHECK(!epilogue.accumulate || y.dtype == DType::kF32);
  linear_->run({matrix_of(x), matrix_of(y), cuda::weight_matrix(w), epilogue});
  device_->launched("linear");
}

void CudaBackend::batched_linear(const Tensor& x, int64_t x_stride, const Weight& w, int64_t y_stride,
                                 const Tensor& y) {
  CHECK((w.shape.groups - 1) * x_stride + w.shape.cols <= x.cols());
  CHECK((w.shape.groups - 1) * y_stride + w.shape.rows <= y.cols() && x.rows() == y.rows());
  linear_->run({.x = matrix_of(x),
                .y = matrix_of(y),
                .w = cuda::weight_matrix(w),
                .epilogue = {},
                .x_group_stride = x_stride,
                .y_group_stride = y_stride});
  device_->launched("batched_linear");
}

cuda::AttentionProblem CudaBackend::attention_problem(const AttentionParams& params, const Tensor& q, const KvLayer& kv,
                                                      const StepLayout& layout, const Tensor& out) const {
  const KvShape& s = kv.shape;
  CHECK(params.n_heads % s.n_kv_heads == 0 && q.cols() == int64_t{params.n_heads} * s.key_dim);
  CHECK(out.cols() == int64_t{params.n_heads} * s.value_dim && q.rows() == layout.n_tokens);
  return {.params = params,
          .q = matrix_of(q),
          .out = matrix_of(out),
          .kv = cuda::kv_of(kv),
          .n_tokens = layout.n_tokens,
          .n_seqs = layout.n_seqs,
          .keys_most = layout.keys_most,
          .positions = layout.positions.i32(),
          .query_start = layout.query_start.i32(),
          .kv_len = layout.kv_len.i32(),
          .block_table = layout.block_table.i32(),
          .table_cols = layout.block_table.cols(),
          .table_stride = layout.block_table_cols.empty() ? nullptr : layout.block_table_cols.i32(),
          .partial = static_cast<float*>(partial_.data()),
          .partial_floats = static_cast<int64_t>(partial_.bytes() / sizeof(float)),
          .counters = static_cast<unsigned*>(counters_.data()) + cuda::kRouteCounters,
          .n_counters = cuda::kPartialRows,
          .n_multiprocessors = device_->n_multiprocessors()};
}

void CudaBackend::attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                            const Tensor& out) {
  if (layout.n_tokens == 0) return;
  attention_.attention.run({attention_problem(params, q, kv, layout, out), device_->stream()});
  device_->launched("attention");
}

void CudaBackend::route(const RouteParams& p, const Tensor& logits, const Tensor& tokens, const Routing& out) {
  CHECK(p.config.n_experts <= routing::kExpertsMax);
  cuda::route_kernels(p.route).route(route_problem(p, logits, tokens, out), device_->stream());
  device_->launched("route");
}

cuda::QkvPrologue qkv_problem(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) {
  CHECK(qkv.dtype == DType::kF32 && kv.shape.key_dim == params.head_dim && kv.shape.value_dim == params.head_dim);
  return {.params = params,
          .qkv = matrix_of(qkv),
          .positions = layout.positions.i32(),
          .slots = layout.slots.i32(),
          .kv = cuda::kv_of(kv)};
}

void CudaBackend::prepare_qkv(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) {
  if (!attention_.prepare_qkv.run({qkv_problem(params, layout, qkv, kv), device_->stream()})) {
    return Backend::prepare_qkv(params, layout, qkv, kv);
  }
  device_->launched("prepare_qkv");
}

void CudaBackend::attention_of_qkv(const QkvAttention& params, const Tensor& qkv, const KvLayer& kv,
                                   const StepLayout& layout, const Tensor& out) {
  if (layout.n_tokens == 0) return;
  const Tensor q = qkv.slice_cols(0, int64_t{params.qkv.n_heads} * params.qkv.head_dim);
  const cuda::AttentionOfQkvCall call{
      {attention_problem(params.attention, q, kv, layout, out), qkv_problem(params.qkv, layout, qkv, kv)},
      device_->stream()};
  if (!attention_.attention_of_qkv.run(call)) return Backend::attention_of_qkv(params, qkv, kv, layout, out);
  device_->launched("attention_of_qkv");
}

void CudaBackend::prepare_latent(const LatentParams& params, const StepLayout& layout, const LatentTensors& t,
                                 const Weight& key_up, const KvLayer& kv) {
  const auto& [q, k, q_full] = t;
  CHECK(q.dtype == DType::kF32 && k.dtype == DType::kF32 && q_full.dtype == DType::kF32);
  CHECK(kv.shape.latent && kv.shape.key_dim == params.kv_lora + params.rope.dims && k.cols() == kv.shape.key_dim);
  const int head = params.nope_dim + params.rope.dims, key = kv.shape.key_dim;
  CHECK(key_up.shape.groups == params.n_heads && key_up.shape.rows == params.kv_lora);
  CHECK(key_up.shape.cols == params.nope_dim && q.cols() == int64_t{params.n_heads} * head);
  CHECK(q_full.cols() == int64_t{params.n_heads} * key && q.rows() == q_full.rows() && q.rows() == k.rows());
  const cuda::MlaPrologue problem{.params = params,
                                  .q = matrix_of(q),
                                  .k = matrix_of(k),
                                  .q_full = matrix_of(q_full),
                                  .positions = layout.positions.i32(),
                                  .slots = layout.slots.i32(),
                                  .kv = cuda::kv_of(kv)};
  const cuda::LatentPrologueCall call{.prologue = problem,
                                      .key_up = {problem.q, problem.q_full, cuda::weight_matrix(key_up), head, key},
                                      .linear = linear_.get(),
                                      .n_multiprocessors = device_->n_multiprocessors(),
                                      .stream = device_->stream()};
  if (q.rows() == 0) return;
  if (!attention_.prepare_latent.run(call)) {
    return Backend::prepare_latent(params, layout, t, key_up, kv);
  }
  device_->launched("prepare_latent");
}

void CudaBackend::route_experts(const RouteExperts& p, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                                const RoutedTokens& out) {
  cuda::RouteLayerCall call = cuda::route_layer_call(p, x);
  call.stream = device_->stream();
  cuda::RouteLayer& l = call.layer;
  if (p.gate != nullptr) l.gate_weights = p.gate_out.weights.f32();
  l.route = route_problem({p.config, p.route, p.selection_bias}, logits, tokens, out.routing);
  l.offsets = out.groups.offsets.i32();
  l.pairs = out.groups.pairs.i32();
  l.load = out.groups.load.empty() ? nullptr : out.groups.load.as<int64_t>();
  l.counters = static_cast<unsigned*>(counters_.data());
  if (!routing_.route_experts.run(call)) return Backend::route_experts(p, x, tokens, logits, out);
  device_->launched("route_experts");
}

void CudaBackend::group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) {
  CHECK(n_experts >= 1 && n_experts <= routing::kExpertsMax);
  cuda::group_by_expert({.ids = routing.ids.i32(),
                         .n_pairs = routing.ids.shape.elements(),
                         .n_experts = n_experts,
                         .offsets = out.offsets.i32(),
                         .pairs = out.pairs.i32(),
                         .load = out.load.empty() ? nullptr : out.load.as<int64_t>()},
                        device_->stream());
  device_->launched("group_by_expert");
}

void CudaBackend::grouped_linear(const GroupedLinear& p, const Tensor& x, const Tensor& y) {
  const Weight& w = *p.w;
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows);
  const cuda::Groups sorted = groups_of(*p.groups, p.groups->pairs.shape.elements());
  CHECK(sorted.n_experts == w.shape.groups);
  cuda::gemm_f32({.x = matrix_of(x),
                  .y = matrix_of(y),
                  .w = linear_->unpacker().all(cuda::weight_matrix(w)),
                  .epilogue = {.bias = p.bias},
                  .round_input = cuda::weight_type(w) == cuda::Type::kBf16,
                  .groups = sorted,
                  .top_k = p.top_k,
                  .gather = p.gather},
                 device_->stream());
  device_->launched("grouped_linear");
}

void CudaBackend::combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
                          const Tensor& out) {
  const int64_t n = routing.ids.shape.elements();
  CHECK(n <= pairs_max_ && out.rows() == routing.ids.rows() && y.dtype == DType::kF32);
  auto* row_of = static_cast<int32_t*>(row_of_pair_.data());
  cuda::invert_pairs(groups_of(groups, n), row_of, device_->stream());
  cuda::combine({.y = matrix_of(y),
                 .ids = routing.ids.i32(),
                 .row_of = row_of,
                 .weights = routing.weights.f32(),
                 .top_k = routing.ids.cols(),
                 .scale = scale,
                 .out = matrix_of(out)},
                device_->stream());
  device_->launched("combine");
}

void CudaBackend::expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                             const Tensor& out) {
  const ExpertVisit visit{&mlp, routing, groups};
  if (!experts_.run(experts_.call_of(visit, nullptr, x, out))) Backend::expert_mlp(mlp, x, routing, groups, out);
}

void CudaBackend::expert_mlp_with_shared(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x,
                                         const Tensor& out) {
  if (!experts_.run(experts_.call_of(group, &shared, x, out))) Backend::expert_mlp_with_shared(group, shared, x, out);
}

std::vector<KernelInfo> CudaBackend::kernels() const {
  std::vector<KernelInfo> all;
  for (const OpFamily* family : families_) all.push_back(family->info());
  return all;
}

bool CudaBackend::force_kernel(std::string_view op, std::string_view variant) {
  for (OpFamily* family : families_) {
    if (family->op() == op) return family->force(variant);
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options, bool batch_invariant) {
  ASSIGN_OR_RETURN(auto device, cuda::Device::open(options.device));
  ASSIGN_OR_RETURN(auto linear, cuda::LinearRunner::create(*device, batch_invariant));
  ASSIGN_OR_RETURN(auto filler_table, device->allocate(cuda::Filler::kTableBytes));
  ASSIGN_OR_RETURN(auto filler_rows, device->allocate(cuda::Device::kPieceBytes));
  base::log_info("backend", "cuda: ", device->text());
  const int threads = options.threads > 0 ? options.threads : base::available_cores();
  return std::make_unique<CudaBackend>(
      CudaBackend::Parts{std::move(device), std::move(linear), std::move(filler_table), std::move(filler_rows)},
      threads, batch_invariant);
}

absl::StatusOr<std::vector<std::unique_ptr<parallel::Communicator>>> make_cuda_communicators(
    const std::vector<Backend*>& backends) {
  std::vector<cuda::Device*> devices;
  for (Backend* backend : backends) devices.push_back(&static_cast<CudaBackend*>(backend)->device());
  return cuda::make_communicators(devices);
}

bool force_kernel(Backend& cuda_backend, std::string_view op, std::string_view variant) {
  return static_cast<CudaBackend&>(cuda_backend).force_kernel(op, variant);
}

}  // namespace polymath::backend
