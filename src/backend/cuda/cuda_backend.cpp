#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/experts.h"
#include "backend/cuda/fill.h"
#include "backend/cuda/result_slot.h"
#include "base/log.h"

namespace polymath::backend {
namespace {

using cuda::groups_of;
using cuda::Matrix;
using cuda::matrix_of;
using cuda::type_of;

// Sums of splits that attention may keep: rows of a step times splits.
constexpr int64_t kPartialRows = 16384;
constexpr int64_t kPartialBytes = int64_t{64} << 20;  // at least: a long prompt's, measured to be worth it

struct CudaGraph : CapturedGraph {
  explicit CudaGraph(cudaGraphExec_t g) : graph(g) {}
  ~CudaGraph() override { cudaGraphExecDestroy(graph); }
  cudaGraphExec_t graph;
};

class CudaBackend : public Backend {
 public:
  CudaBackend(std::unique_ptr<cuda::Device> device, std::unique_ptr<cuda::LinearRunner> linear, int threads)
      : device_(std::move(device)),
        linear_(std::move(linear)),
        experts_(*device_, *linear_),
        filler_(*device_, threads) {
    for (const routing::Router& router : routing::routers()) CHECK(cuda::find_route(router.name) != nullptr);
  }

  std::string_view name() const override { return "cuda"; }

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
  DType activation_dtype(DType weight_dtype) const override {
    return weight_dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  }

  // A router that is stored in bf16 loses nothing in it.
  const quant::QuantFormat& kept_format(const quant::QuantFormat& stored, quant::WeightUse use,
                                        DType dtype) const override {
    if (use == quant::WeightUse::kRouter && &stored == &quant::kBf16) {
      return quant::plain_format(activation_dtype(dtype));
    }
    return Backend::kept_format(stored, use, dtype);
  }
  size_t weight_bytes(const WeightShape& shape, const quant::QuantFormat& format) const override {
    const int64_t elements = shape.groups * shape.rows * cuda::weight_stride(shape.cols, type_of(format.dtype));
    return static_cast<size_t>(format.bytes_of(elements));
  }
  absl::StatusOr<Weight> make_weight(const WeightShape& shape, const quant::QuantFormat& format) override {
    Weight w{&format, shape, {}, {}, {}};
    ASSIGN_OR_RETURN(w.data, allocate(weight_bytes(shape, format)));
    return w;
  }
  void expect_experts(const WeightShape& gate_up, const quant::QuantFormat& format) override {
    plain_experts_ = plain_experts_ || !cuda::ExpertRunner::takes(gate_up, format.dtype);
    experts_.expect(gate_up);
  }
  void fill_weight(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) override {
    filler_.fill(w, group, row_begin, view);
  }
  bool generate_weight(Weight& w, int64_t group, int64_t row_begin, const quant::GeneratedMatrix& matrix) override {
    return filler_.generate(w, group, row_begin, matrix);
  }

  size_t kv_block_bytes(const KvShape& s) const override {
    const size_t per_token =
        static_cast<size_t>(s.n_kv_heads) * static_cast<size_t>(s.key_dim + (s.latent ? 0 : s.value_dim));
    return static_cast<size_t>(s.block_size) * per_token * tensor::dtype_bytes(s.dtype);
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
  void copy_heads(int heads, int width, const Tensor& from, int64_t from_stride, const Tensor& to,
                  int64_t to_stride) override {
    CHECK(from.dtype == DType::kF32 && to.dtype == DType::kF32);
    cuda::copy_heads(heads, width, matrix_of(from), from_stride, matrix_of(to), to_stride, device_->stream());
    device_->launched("copy_heads");
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
  void route(const routing::RouterConfig& config, routing::RouteFn fn, const Tensor& logits, const float* bias,
             const Tensor& tokens, const Routing& out) override;
  void group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) override;
  void grouped_linear(const Tensor& x, const Weight& w, const float* bias, const ExpertGroups& groups, int top_k,
                      bool gather, const Tensor& y) override;
  void glu(const GluParams& params, const Tensor& x, const Tensor& y) override {
    CHECK(x.cols() == 2 * y.cols() && x.rows() == y.rows());
    cuda::glu(params, matrix_of(x), nullptr, matrix_of(y), device_->stream());
    device_->launched("glu");
  }
  void combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
               const Tensor& out) override;
  void prepare_qkv(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) override;
  void prepare_latent(const LatentParams& params, const StepLayout& layout, const Tensor& q, const Tensor& k,
                      const Weight& key_up, const Tensor& q_full, const KvLayer& kv) override;
  void attention_of_qkv(const QkvParams& qkv_params, const AttentionParams& params, const Tensor& qkv,
                        const KvLayer& kv, const StepLayout& layout, const Tensor& out) override;
  void route_experts(const RouteExperts& params, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                     const Routing& routing, const ExpertGroups& groups) override;
  void expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                  const Tensor& out) override;
  void expert_mlp_with_shared(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x,
                              const Tensor& out) override;
  bool expert_mlp_is_default() const override { return false; }
  DeviceLimits measure_limits(DType weight_dtype) override {
    return {.read_gbs = device_->measure_read_gbs(), .gflops = linear_->measure_gflops(type_of(weight_dtype))};
  }

 private:
  absl::Status set_aside(Buffer& buffer, int64_t bytes) {
    ASSIGN_OR_RETURN(buffer, allocate(static_cast<size_t>(bytes)));
    return absl::OkStatus();
  }
  cuda::AttentionProblem attention_problem(const AttentionParams& params, const Tensor& q, const KvLayer& kv,
                                           const StepLayout& layout, const Tensor& out) const;

  std::unique_ptr<cuda::Device> device_;
  std::unique_ptr<cuda::LinearRunner> linear_;
  cuda::ExpertRunner experts_;
  cuda::Filler filler_;

  bool plain_experts_ = false;
  int64_t pairs_max_ = 0;
  Buffer partial_, row_of_pair_;  // of the largest step: partial sums of attention, the row of each pair
  std::array<cuda::ResultSlot, 2> result_slots_;
  Buffer counters_;  // zeros: of route_experts, then of attention
};

absl::Status CudaBackend::reserve(const StepLimits& limits) {
  if (plain_experts_) RETURN_IF_ERROR(reserve_defaults(limits));
  const int64_t tokens = limits.tokens_max, pairs = std::max<int64_t>(limits.pairs_max, tokens);
  const int64_t expert_io = limits.expert_io_max > 0 ? limits.expert_io_max : limits.hidden_max;
  pairs_max_ = pairs;
  RETURN_IF_ERROR(linear_->reserve(1, std::max(tokens * (limits.hidden_max + 16), pairs * (expert_io + 16) / 2)));
  RETURN_IF_ERROR(
      set_aside(partial_, std::max(kPartialBytes, kPartialRows * (std::max(limits.key_dim_max, 1) + 2) * 4)));
  RETURN_IF_ERROR(set_aside(row_of_pair_, pairs * 4));
  RETURN_IF_ERROR(experts_.reserve(limits));
  RETURN_IF_ERROR(set_aside(counters_, (cuda::kRouteCounters + kPartialRows) * static_cast<int64_t>(sizeof(unsigned))));
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
  if (s.key_dim > cuda::kKeyDimMax || s.value_dim > cuda::kValueDimMax) {
    return absl::InvalidArgumentError("attention on CUDA takes keys of at most 640 and values of at most 512 numbers");
  }
  return absl::OkStatus();
}

cuda::Kv kv_of(const KvLayer& kv) {
  const KvShape& s = kv.shape;
  return {kv.data, s.n_kv_heads, s.key_dim, s.value_dim, s.block_size, s.latent, type_of(s.dtype)};
}

void CudaBackend::kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) {
  const KvShape& s = kv.shape;
  CHECK(k.cols() == int64_t{s.n_kv_heads} * s.key_dim && slots.shape[0] == k.rows());
  CHECK(s.latent || v.cols() == int64_t{s.n_kv_heads} * s.value_dim);
  cuda::kv_write(kv_of(kv), matrix_of(k), s.latent ? Matrix{} : matrix_of(v), slots.i32(), device_->stream());
  device_->launched("kv_write");
}

void CudaBackend::linear(const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y) {
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows && w.shape.groups == 1 && x.rows() == y.rows());
  CHECK(!epilogue.accumulate || y.dtype == DType::kF32);
  linear_->run({.x = matrix_of(x), .y = matrix_of(y), .w = cuda::weight_matrix(w), .epilogue = epilogue});
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
          .kv = kv_of(kv),
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
          .n_counters = kPartialRows,
          .n_multiprocessors = device_->n_multiprocessors()};
}

void CudaBackend::attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                            const Tensor& out) {
  const cuda::AttentionProblem problem = attention_problem(params, q, kv, layout, out);
  const cudaStream_t stream = device_->stream();
  if (!cuda::attention_tensor(problem, stream) && !cuda::attention_latent(problem, stream)) {
    cuda::attention(problem, stream);
  }
  device_->launched("attention");
}

const cuda::RouteKernels& kernels_of(routing::RouteFn fn) {
  const auto routers = routing::routers();
  const auto router = std::find_if(routers.begin(), routers.end(), [&](const auto& r) { return r.route == fn; });
  CHECK(router != routers.end());
  return *cuda::find_route(router->name);
}

cuda::RouteProblem route_problem(const routing::RouterConfig& config, const Tensor& logits, const float* bias,
                                 const Tensor& tokens, const Routing& out) {
  return {.config = config,
          .logits = logits.f32(),
          .n = logits.rows(),
          .stride = logits.stride(),
          .bias = bias,
          .tokens = tokens.i32(),
          .ids = out.ids.i32(),
          .weights = out.weights.f32()};
}

void CudaBackend::route(const routing::RouterConfig& config, routing::RouteFn fn, const Tensor& logits,
                        const float* bias, const Tensor& tokens, const Routing& out) {
  CHECK(config.n_experts <= routing::kExpertsMax);
  kernels_of(fn).route(route_problem(config, logits, bias, tokens, out), device_->stream());
  device_->launched("route");
}

cuda::PrepareQkv qkv_problem(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) {
  CHECK(qkv.dtype == DType::kF32 && kv.shape.key_dim == params.head_dim && kv.shape.value_dim == params.head_dim);
  return {.params = params,
          .qkv = matrix_of(qkv),
          .positions = layout.positions.i32(),
          .slots = layout.slots.i32(),
          .kv = kv_of(kv)};
}

void CudaBackend::prepare_qkv(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) {
  if (params.norm == QkvNorm::kWhole || params.head_dim > cuda::kQkvHeadMax) {
    return Backend::prepare_qkv(params, layout, qkv, kv);
  }
  cuda::prepare_qkv(qkv_problem(params, layout, qkv, kv), device_->stream());
  device_->launched("prepare_qkv");
}

void CudaBackend::attention_of_qkv(const QkvParams& qkv_params, const AttentionParams& params, const Tensor& qkv,
                                   const KvLayer& kv, const StepLayout& layout, const Tensor& out) {
  const Tensor q = qkv.slice_cols(0, int64_t{qkv_params.n_heads} * qkv_params.head_dim);
  if (!cuda::attention_of_qkv(attention_problem(params, q, kv, layout, out), qkv_problem(qkv_params, layout, qkv, kv),
                              device_->stream())) {
    return Backend::attention_of_qkv(qkv_params, params, qkv, kv, layout, out);
  }
  device_->launched("attention_of_qkv");
}

void CudaBackend::prepare_latent(const LatentParams& params, const StepLayout& layout, const Tensor& q, const Tensor& k,
                                 const Weight& key_up, const Tensor& q_full, const KvLayer& kv) {
  if (params.kv_lora > cuda::kLatentMost || params.rope.dims > cuda::kLatentRotatedMax || params.kv_norm == nullptr) {
    return Backend::prepare_latent(params, layout, q, k, key_up, q_full, kv);
  }
  CHECK(q.dtype == DType::kF32 && k.dtype == DType::kF32 && q_full.dtype == DType::kF32);
  CHECK(kv.shape.latent && kv.shape.key_dim == params.kv_lora + params.rope.dims && k.cols() == kv.shape.key_dim);
  const int head = params.nope_dim + params.rope.dims, key = kv.shape.key_dim;
  CHECK(key_up.shape.groups == params.n_heads && key_up.shape.rows == params.kv_lora);
  CHECK(key_up.shape.cols == params.nope_dim && q.cols() == int64_t{params.n_heads} * head);
  CHECK(q_full.cols() == int64_t{params.n_heads} * key && q.rows() == q_full.rows() && q.rows() == k.rows());
  const cuda::PrepareLatent problem{.params = params,
                                    .q = matrix_of(q),
                                    .k = matrix_of(k),
                                    .q_full = matrix_of(q_full),
                                    .positions = layout.positions.i32(),
                                    .slots = layout.slots.i32(),
                                    .kv = kv_of(kv)};
  const cuda::HeadsProduct product{problem.q, problem.q_full, cuda::weight_matrix(key_up), head, key};
  if (!cuda::prepare_latent(problem, product, device_->n_multiprocessors(), device_->stream())) {
    batched_linear(q, head, key_up, key, q_full);
    cuda::prepare_latent(problem, device_->stream());
  }
  device_->launched("prepare_latent");
}

// Whether one launch does a layer's routing.
bool routes_at_once(const RouteExperts& p, const Tensor& x) {
  if (p.router == nullptr || kernels_of(p.route).route_experts == nullptr) return false;
  const DType type = p.router->format->dtype;  // of the gate too
  const auto fits = [&](const Weight& w) { return w.format->dtype == type && w.shape.cols == x.cols(); };
  const RouteExperts* gate = p.gate;  // sigmoid(gate x) and nothing else
  if (gate != nullptr && (kernels_of(gate->route).name != std::string_view("sigmoid_topk") || !fits(*gate->router) ||
                          gate->config.n_experts != 1 || gate->config.normalize || gate->config.weight_scale != 1 ||
                          gate->router_bias != nullptr || gate->selection_bias != nullptr)) {
    return false;
  }
  return (type == DType::kF32 || type == DType::kBf16) && fits(*p.router) && x.dtype == DType::kBf16 &&
         x.cols() % 8 == 0 && x.stride() % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 &&
         x.rows() <= cuda::kRouteTokensMax && p.config.n_experts <= cuda::kRouteExpertsMax &&
         p.config.top_k <= cuda::kRouteTopKMax && x.rows() * p.config.top_k <= cuda::kRoutePairsMax;
}

void CudaBackend::route_experts(const RouteExperts& p, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                                const Routing& routing, const ExpertGroups& groups) {
  if (!routes_at_once(p, x)) return Backend::route_experts(p, x, tokens, logits, routing, groups);
  const bool gate = p.gate != nullptr;
  kernels_of(p.route).route_experts({.x = matrix_of(x),
                                     .router = cuda::weight_matrix(*p.router),
                                     .gate = gate ? cuda::weight_matrix(*p.gate->router) : cuda::WeightMatrix{},
                                     .gate_weights = gate ? p.gate_out.weights.f32() : nullptr,
                                     .router_bias = p.router_bias,
                                     .route = route_problem(p.config, logits, p.selection_bias, tokens, routing),
                                     .offsets = groups.offsets.i32(),
                                     .pairs = groups.pairs.i32(),
                                     .load = groups.load.empty() ? nullptr : groups.load.as<int64_t>(),
                                     .counters = static_cast<unsigned*>(counters_.data())},
                                    device_->stream());
  device_->launched("route_experts");
}

void CudaBackend::group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) {
  CHECK(n_experts >= 1 && n_experts <= routing::kExpertsMax);
  cuda::group_by_expert(routing.ids.i32(), routing.ids.shape.elements(), n_experts, out.offsets.i32(), out.pairs.i32(),
                        out.load.empty() ? nullptr : out.load.as<int64_t>(), device_->stream());
  device_->launched("group_by_expert");
}

void CudaBackend::grouped_linear(const Tensor& x, const Weight& w, const float* bias, const ExpertGroups& groups,
                                 int top_k, bool gather, const Tensor& y) {
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows);
  const cuda::Groups sorted = groups_of(groups, groups.pairs.shape.elements());
  CHECK(sorted.n_experts == w.shape.groups);
  cuda::plain_product({.x = matrix_of(x),
                       .y = matrix_of(y),
                       .w = cuda::weight_matrix(w),
                       .epilogue = {.bias = bias},
                       .round_input = w.format->dtype == DType::kBf16,
                       .groups = sorted,
                       .top_k = top_k,
                       .gather = gather},
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
  if (cuda::ExpertRunner::takes(mlp.gate_up->shape, mlp.gate_up->format->dtype)) {
    return experts_.run({&mlp, routing, groups}, x, out);
  }
  CHECK(plain_experts_);
  Backend::expert_mlp(mlp, x, routing, groups, out);
}

void CudaBackend::expert_mlp_with_shared(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x,
                                         const Tensor& out) {
  if (!experts_.run_joined(group, shared, x, out)) Backend::expert_mlp_with_shared(group, shared, x, out);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options) {
  ASSIGN_OR_RETURN(auto device, cuda::Device::open());
  ASSIGN_OR_RETURN(auto linear, cuda::LinearRunner::create(*device));
  base::log_info("backend", "cuda: ", device->text());
  const int threads = options.threads > 0 ? options.threads : base::available_cores();
  return std::make_unique<CudaBackend>(std::move(device), std::move(linear), threads);
}

}  // namespace polymath::backend
