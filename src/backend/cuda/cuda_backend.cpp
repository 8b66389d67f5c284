#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/fill.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/linear.h"
#include "backend/cuda/result_box.h"
#include "base/log.h"

namespace polymath::backend {
namespace {

using cuda::Matrix;
using cuda::type_of;
using cuda::WeightMatrix;

// Sums of splits that attention may keep: rows of a step times splits.
constexpr int64_t kPartialRows = 16384;
constexpr int64_t kPartialBytes = int64_t{64} << 20;  // at least: a long prompt's, measured to be worth it

Matrix matrix_of(const Tensor& t) { return {t.data, t.rows(), t.cols(), t.stride(), type_of(t.dtype)}; }

struct CudaRecording : Recording {
  explicit CudaRecording(cudaGraphExec_t g) : graph(g) {}
  ~CudaRecording() override { cudaGraphExecDestroy(graph); }
  cudaGraphExec_t graph;
};

class CudaBackend : public Backend {
 public:
  CudaBackend(std::unique_ptr<cuda::Device> device, std::unique_ptr<cuda::LinearRunner> linear, int threads)
      : device_(std::move(device)), linear_(std::move(linear)), filler_(*device_, threads) {
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
  Tensor post(int box, const Tensor& from) override { return boxes_[box].post(*device_, from); }
  void collect(int box) override { boxes_[box].collect(*device_); }
  bool records() const override { return true; }
  void begin_recording() override { device_->begin_capture(); }
  absl::StatusOr<std::unique_ptr<Recording>> end_recording() override {
    ASSIGN_OR_RETURN(const cudaGraphExec_t graph, device_->end_capture());
    return std::make_unique<CudaRecording>(graph);
  }
  void replay(const Recording& recording) override {
    device_->launch(static_cast<const CudaRecording&>(recording).graph);
  }
  bool chooses() const override { return true; }
  void choose(const Tensor& logits, const SampleParams* params, const Tensor& ids) override {
    CHECK(ids.shape[0] >= logits.rows() && logits.dtype == DType::kF32);
    cuda::choose(matrix_of(logits), params, ids.i32(), device_->stream());
    device_->launched("choose");
  }
  void take_chosen(const Tensor& chosen, const Tensor& rows, const Tensor& tokens) override {
    cuda::take_chosen(chosen.i32(), rows.i32(), tokens.i32(), tokens.shape[0], device_->stream());
    device_->launched("take_chosen");
  }
  absl::Status health() const override { return device_->health(); }
  int64_t memory_available() const override { return static_cast<int64_t>(device_->memory().free); }
  int64_t memory_total() const override { return static_cast<int64_t>(device_->memory().total); }
  absl::Status reserve(const StepLimits& limits) override;
  DType activation_dtype(DType weight_dtype) const override {
    return weight_dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  }

  absl::StatusOr<Weight> make_weight(const WeightShape& shape, DType dtype) override {
    Weight w{&quant::plain_format(dtype), shape, {}};
    const int64_t numbers = shape.groups * shape.rows * cuda::weight_stride(shape.cols, type_of(dtype));
    ASSIGN_OR_RETURN(w.data, allocate(static_cast<size_t>(numbers) * tensor::dtype_bytes(dtype)));
    plain_experts_ = plain_experts_ || (shape.glu && dtype != DType::kBf16);
    if (shape.glu && shape.groups == 1) dense_inner_max_ = std::max(dense_inner_max_, shape.rows / 2);
    return w;
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
  void route_experts(const RouteExperts& params, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                     const Routing& routing, const ExpertGroups& groups) override;
  void expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
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
  static cuda::Groups groups_of(const ExpertGroups& groups, int64_t n_pairs) {
    const auto n_experts = static_cast<int>(groups.offsets.shape[0] - 1);
    return {groups.offsets.i32(), groups.pairs.i32(), n_experts, n_pairs};
  }

  std::unique_ptr<cuda::Device> device_;
  std::unique_ptr<cuda::LinearRunner> linear_;
  cuda::Filler filler_;
  void run_experts(int64_t n, cuda::ExpertProduct first, const cuda::ExpertProduct& second);
  // A group of one without biases: as two linears.
  bool run_dense(const ExpertMlp& mlp, const Tensor& x, const float* weights, const Tensor& out);
  // One token's experts without biases: nothing is gathered and nothing combined.
  bool run_single(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const Tensor& out);

  bool plain_experts_ = false;
  int64_t dense_inner_max_ = 0;
  int64_t pairs_max_ = 0;
  // Of the largest step: partial sums of attention, row of each pair, the experts' inner numbers and outputs, a dense
  // network's gate and up, the inputs of every pair sorted by expert.
  Buffer partial_, row_of_pair_, inner_, outputs_, gate_up_, sorted_;
  std::array<cuda::ResultBox, 2> boxes_;
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
  RETURN_IF_ERROR(set_aside(inner_, pairs * cuda::weight_stride(limits.inner_max, cuda::Type::kBf16) * 2));
  RETURN_IF_ERROR(set_aside(outputs_, pairs * expert_io * 4));
  RETURN_IF_ERROR(set_aside(sorted_, pairs * cuda::weight_stride(expert_io, cuda::Type::kBf16) * 2));
  RETURN_IF_ERROR(set_aside(gate_up_, tokens * 2 * dense_inner_max_ * 2));
  RETURN_IF_ERROR(set_aside(counters_, (cuda::kRouteCounters + kPartialRows) * static_cast<int64_t>(sizeof(unsigned))));
  for (auto& box : boxes_) {
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

void CudaBackend::attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                            const Tensor& out) {
  const KvShape& s = kv.shape;
  CHECK(params.n_heads % s.n_kv_heads == 0 && q.cols() == int64_t{params.n_heads} * s.key_dim);
  CHECK(out.cols() == int64_t{params.n_heads} * s.value_dim && q.rows() == layout.n_tokens);
  const cuda::AttentionProblem problem{
      .params = params,
      .q = matrix_of(q),
      .out = matrix_of(out),
      .kv = kv_of(kv),
      .n_tokens = layout.n_tokens,
      .n_seqs = layout.n_seqs,
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
  if (!cuda::attention_tensor(problem, device_->stream())) cuda::attention(problem, device_->stream());
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

void CudaBackend::prepare_qkv(const QkvParams& params, const StepLayout& layout, const Tensor& qkv, const KvLayer& kv) {
  CHECK(qkv.dtype == DType::kF32 && kv.shape.key_dim == params.head_dim && kv.shape.value_dim == params.head_dim);
  if (params.norm == QkvNorm::kWhole || params.head_dim > cuda::kQkvHeadMax) {
    return Backend::prepare_qkv(params, layout, qkv, kv);
  }
  cuda::prepare_qkv({.params = params,
                     .qkv = matrix_of(qkv),
                     .positions = layout.positions.i32(),
                     .slots = layout.slots.i32(),
                     .kv = kv_of(kv)},
                    device_->stream());
  device_->launched("prepare_qkv");
}

void CudaBackend::route_experts(const RouteExperts& p, const Tensor& x, const Tensor& tokens, const Tensor& logits,
                                const Routing& routing, const ExpertGroups& groups) {
  const bool fits = p.router != nullptr && x.rows() <= cuda::kRouteTokensMax && x.cols() <= cuda::kRouteColsMax &&
                    p.router->format->dtype == DType::kF32 && x.dtype != DType::kF16 && x.stride() % 2 == 0 &&
                    x.cols() % 2 == 0 && p.config.n_experts <= cuda::kRouteExpertsMax &&
                    x.rows() * p.config.top_k <= cuda::kRoutePairsMax && p.config.top_k <= cuda::kRouteTopKMax &&
                    kernels_of(p.route).route_experts != nullptr;
  if (!fits) return Backend::route_experts(p, x, tokens, logits, routing, groups);
  kernels_of(p.route).route_experts({.x = matrix_of(x),
                                     .router = cuda::weight_matrix(*p.router),
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
  CHECK(n <= pairs_max_ && out.rows() == routing.ids.rows());
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

bool CudaBackend::run_dense(const ExpertMlp& mlp, const Tensor& x, const float* weights, const Tensor& out) {
  if (mlp.gate_up->shape.groups != 1 || mlp.gate_up_bias != nullptr || mlp.down_bias != nullptr) return false;
  if (mlp.weight_on_input) return false;
  const int64_t n = x.rows(), inner = mlp.down->shape.cols, stride = cuda::weight_stride(inner, cuda::Type::kBf16);
  const Matrix inputs = linear_->aligned(matrix_of(x), cuda::Type::kBf16);
  const Matrix inners{inner_.data(), n, stride, stride, cuda::Type::kBf16};
  const WeightMatrix gate_up = cuda::weight_matrix(*mlp.gate_up);
  if (n <= cuda::kLinearNarrowRowsMax) {
    cuda::linear_narrow({.x = inputs, .y = inners, .w = gate_up, .gated = true, .glu = mlp.glu, .factors = weights},
                        device_->n_multiprocessors(), device_->stream());
  } else {
    const Matrix both{gate_up_.data(), n, 2 * inner, 2 * inner, cuda::Type::kBf16};
    CHECK(static_cast<size_t>(n * 2 * inner * 2) <= gate_up_.bytes());
    linear_->run({.x = inputs, .y = both, .w = gate_up});
    cuda::glu(mlp.glu, both, weights, inners, device_->stream());
  }
  linear_->run({.x = inners,
                .y = matrix_of(out),
                .w = cuda::weight_matrix(*mlp.down),
                .epilogue = {.accumulate = true, .scale = mlp.scale}});
  device_->launched("dense network");
  return true;
}

bool CudaBackend::run_single(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const Tensor& out) {
  const int64_t top_k = routing.ids.cols(), inner = mlp.down->shape.cols, hidden = mlp.down->shape.rows;
  // Larger experts: the copy engine's stream of weights is worth the two launches more.
  constexpr int64_t kNumbersMax = int64_t{32} << 20;
  if (x.rows() != 1 || top_k > cuda::kLinearNarrowChoicesMax || top_k * inner * hidden > kNumbersMax) return false;
  if (mlp.gate_up_bias != nullptr || mlp.down_bias != nullptr || mlp.weight_on_input) return false;
  const int64_t stride = cuda::weight_stride(inner, cuda::Type::kBf16);
  cuda::NarrowProduct product{.x = linear_->aligned(matrix_of(x), cuda::Type::kBf16),
                              .y = {inner_.data(), top_k, stride, stride, cuda::Type::kBf16},
                              .w = cuda::weight_matrix(*mlp.gate_up),
                              .gated = true,
                              .glu = mlp.glu,
                              .factors = routing.weights.f32(),
                              .experts = routing.ids.i32(),
                              .n_choices = static_cast<int>(top_k)};
  cuda::linear_narrow(product, device_->n_multiprocessors(), device_->stream());
  product.x = product.y, product.y = matrix_of(out), product.w = cuda::weight_matrix(*mlp.down);
  product.gated = false, product.epilogue = {.accumulate = true, .scale = mlp.scale};
  cuda::linear_narrow(product, device_->n_multiprocessors(), device_->stream());
  device_->launched("a token's experts");
  return true;
}

void CudaBackend::expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                             const Tensor& out) {
  if (mlp.gate_up->format->dtype != DType::kBf16) {
    CHECK(plain_experts_);
    return Backend::expert_mlp(mlp, x, routing, groups, out);
  }
  const int64_t pairs = routing.ids.shape.elements(), hidden = mlp.down->shape.rows, inner = mlp.down->shape.cols;
  CHECK(x.cols() == mlp.gate_up->shape.cols && out.cols() == hidden && mlp.gate_up->shape.rows == 2 * inner);
  CHECK(pairs <= pairs_max_ && x.rows() == routing.ids.rows() && (!mlp.weight_on_input || mlp.gate_up_bias == nullptr));
  if (run_dense(mlp, x, routing.weights.f32(), out) || run_single(mlp, x, routing, out)) return;
  const int64_t stride = cuda::weight_stride(inner, cuda::Type::kBf16);
  const Matrix inners{inner_.data(), pairs, stride, stride, cuda::Type::kBf16};
  const Matrix outputs{outputs_.data(), pairs, hidden, hidden, cuda::Type::kF32};
  CHECK(static_cast<size_t>(pairs * stride * 2) <= inner_.bytes() &&
        static_cast<size_t>(pairs * hidden * 4) <= outputs_.bytes());
  const cuda::Groups sorted = groups_of(groups, pairs);
  cuda::ExpertProduct first{.x = linear_->aligned(matrix_of(x), cuda::Type::kBf16),
                            .w = cuda::weight_matrix(*mlp.gate_up),
                            .bias = mlp.gate_up_bias,
                            .groups = sorted,
                            .top_k = routing.ids.cols(),
                            .first = true,
                            .glu = mlp.glu,
                            .input_weights = mlp.weight_on_input ? routing.weights.f32() : nullptr,
                            .y = inners};
  const cuda::ExpertProduct second{.x = inners,
                                   .w = cuda::weight_matrix(*mlp.down),
                                   .bias = mlp.down_bias,
                                   .groups = sorted,
                                   .top_k = routing.ids.cols(),
                                   .first = false,
                                   .y = outputs};
  run_experts(x.rows(), first, second);
  device_->launched("expert_mlp");
  cuda::combine({.y = outputs,
                 .ids = routing.ids.i32(),
                 .weights = mlp.weight_on_input ? nullptr : routing.weights.f32(),
                 .top_k = routing.ids.cols(),
                 .scale = mlp.scale,
                 .out = matrix_of(out)},
                device_->stream());
  device_->launched("expert_mlp, sums");
}

void CudaBackend::run_experts(int64_t n, cuda::ExpertProduct first, const cuda::ExpertProduct& second) {
  const cudaStream_t stream = device_->stream();
  const cuda::ExpertProduct by_token = first;
  first.one_token = n == 1;
  if (!first.one_token) {
    first.x = {sorted_.data(), first.groups.n_pairs, first.x.cols, first.x.cols, cuda::Type::kBf16};
    CHECK(static_cast<size_t>(first.x.rows * first.x.cols * 2) <= sorted_.bytes());
    cuda::gather_pairs(by_token.x, first.groups, first.top_k, first.x, stream);
  }
  const auto run = [&](const cuda::ExpertProduct& sorted, const cuda::ExpertProduct& otherwise) {
    if (cuda::experts_tensor(sorted, device_->n_multiprocessors(), stream)) return;
    if (n <= cuda::kNarrowTokensMax) return cuda::experts_narrow(otherwise, n, stream);
    cuda::experts_wide(otherwise, stream);
  };
  run(first, by_token);
  run(second, second);
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
