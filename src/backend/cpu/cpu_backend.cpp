#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cpu/attention.h"
#include "backend/cpu/context.h"
#include "backend/cpu/expert_mlp.h"
#include "backend/cpu/kv.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/panels.h"
#include "backend/host_backend.h"
#include "base/log.h"
#include "base/process/numa_nodes.h"

namespace polymath::backend {
namespace {

using cpu::Context;
using cpu::Panels;

std::byte* number_pointer(const Tensor& t, int64_t row, int64_t col = 0) {
  return t.as<std::byte>() + (row * t.stride() + col) * static_cast<int64_t>(tensor::dtype_bytes(t.dtype));
}
cpu::Row row_of(const Tensor& t, int64_t row) { return {number_pointer(t, row), t.dtype}; }

// Bytes of cpu::Scratch for the largest step.
struct ScratchSizes {
  explicit ScratchSizes(const StepLimits& limits);
  size_t bytes(int threads) const {
    return input + intermediate + row_weights + row_tokens + segments + seq_tasks +
           static_cast<size_t>(threads) * (sums + queries + scores + out + values + unpacked + 2 * scales);
  }

  int64_t pairs = 0, n_segments = 0, value_dim = 0;
  size_t input = 0, intermediate = 0, row_weights = 0, row_tokens = 0, segments = 0, seq_tasks = 0;
  size_t sums = 0, queries = 0, scores = 0, out = 0, values = 0, unpacked = 0, scales = 0;  // of each thread
};

ScratchSizes::ScratchSizes(const StepLimits& limits) {
  constexpr int kPadding = 16;  // words of a packed row, at most pack_steps of any format
  const int64_t tokens = limits.tokens_max;
  pairs = std::max<int64_t>(limits.pairs_max, tokens);
  // Untouched pages cost nothing. So each op's widest case is counted, in f32.
  const int64_t wide = std::max(limits.hidden_max, limits.attention_max) + kPadding;
  const int64_t wide_pair = std::max(limits.hidden_max, limits.intermediate_max) + kPadding;
  n_segments = 2 * routing::kExpertsMax * (pairs / cpu::kSegmentRows + 1);
  value_dim = std::max<int64_t>(limits.attention_max, limits.key_dim_max);
  input = static_cast<size_t>(std::max(tokens * wide, pairs * wide_pair)) * sizeof(uint32_t);
  intermediate = static_cast<size_t>(pairs * (limits.intermediate_max + kPadding)) * sizeof(uint32_t);
  row_weights = static_cast<size_t>(pairs) * sizeof(float);
  row_tokens = static_cast<size_t>(pairs) * sizeof(int32_t);
  segments = static_cast<size_t>(n_segments) * sizeof(cpu::Segment);
  seq_tasks = static_cast<size_t>(limits.seqs_max + 1) * sizeof(int64_t);
  const auto value_bytes = static_cast<size_t>(cpu::round_up(value_dim, cpu::kTile)) * sizeof(float);
  sums = cpu::kSegmentRows * cpu::kDownTiles * cpu::kTile * sizeof(float);
  queries = cpu::kTaskRows * static_cast<size_t>(limits.key_dim_max + kPadding) * sizeof(uint32_t);
  scores = cpu::kTaskRows * cpu::kProbStride * sizeof(float);
  out = cpu::kTaskRows * value_bytes;
  values = cpu::kRunTokens * value_bytes;
  unpacked = values + cpu::kRunTokens * static_cast<size_t>(limits.key_dim_max + kPadding) * sizeof(uint16_t);
  scales = cpu::kProbStride * sizeof(float);
}

class CpuBackend : public HostBackend {
 public:
  CpuBackend(const cpu::Kernels& kernels, int threads) : c_{kernels, cpu::Team(threads), {}} {}

  std::string_view name() const override { return "cpu"; }
  std::vector<KernelInfo> kernels() const override {
    static constexpr std::string_view kOwnOps[] = {"expert_mlp"};
    return kernels_of(cpu::kernel_tables(c_.kernels), kOwnOps);
  }

  absl::Status reserve(const StepLimits& limits) override;
  size_t reserve_bytes(const StepLimits& limits) const override;

  // Packed matrices stay packed if their format has kernels, or a wider one that holds the same values.
  const quant::QuantFormat& kept_format(const quant::QuantFormat& stored, quant::WeightUse use,
                                        DType dtype) const override {
    const bool exact = use == quant::WeightUse::kVector || use == quant::WeightUse::kRouter;
    if (stored.plain() || exact) return Backend::kept_format(stored, use, dtype);
    for (const quant::QuantFormat* format : {&stored, stored.wider}) {
      if (format != nullptr && c_.kernels.find_weights(*format) != nullptr) return *format;
    }
    return Backend::kept_format(stored, use, dtype);
  }
  size_t weight_bytes(const WeightShape& shape, const quant::QuantFormat& format) const override {
    return Panels(c_.kernels, shape, format).bytes();
  }
  absl::StatusOr<Weight> make_weight(const WeightShape& shape, const quant::QuantFormat& format) override {
    Weight w{&format, shape, {}, {}, {}};
    ASSIGN_OR_RETURN(w.data, allocate(weight_bytes(shape, format)));
    return w;
  }
  void fill_weight(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) override;
  void copy_group(const Weight& from, int64_t from_group, Weight& to, int64_t to_group) override {
    const auto bytes = static_cast<size_t>(Panels(c_.kernels, to).group_bytes);
    CHECK(from.format == to.format && from.shape.rows == to.shape.rows && from.shape.cols == to.shape.cols);
    std::memcpy(static_cast<std::byte*>(to.data.data()) + static_cast<size_t>(to_group) * bytes,
                static_cast<const std::byte*>(from.data.data()) + static_cast<size_t>(from_group) * bytes, bytes);
  }

  size_t kv_block_bytes(const KvShape& shape) const override {
    return static_cast<size_t>(cpu::KvPanels(shape).block_bytes);
  }
  absl::Status check_kv(const KvShape& shape) const override { return cpu::check_kv(shape); }
  void kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) override {
    cpu::kv_write(c_, kv, k, v, slots);
  }

  void embed(const Weight& table, const Tensor& ids, float scale, const Tensor& y) override;
  void norm(const NormParams& params, const Tensor& x, const Tensor& y) override;
  void linear(const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y) override {
    cpu::linear(c_, x, w, epilogue, y);
  }
  void batched_linear(const Tensor& x, int64_t x_stride, const Weight& w, int64_t y_stride, const Tensor& y) override {
    cpu::batched_linear(c_, {&w, x_stride, y_stride}, x, y);
  }
  void rope(const RopeParams& params, const Tensor& positions, const Tensor& x) override;
  void copy_heads(const HeadCopy& copy, const Tensor& from, const Tensor& to) override;
  void scale_rows(const Tensor& factors, const Tensor& x) override;
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) override;
  void attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                 const Tensor& out) override {
    cpu::attention(c_, {&params, &q, &kv, &layout, &out});
  }
  void route(const RouteParams& params, const Tensor& logits, const Tensor& tokens, const Routing& out) override;
  void group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) override;
  void grouped_linear(const GroupedLinear& p, const Tensor& x, const Tensor& y) override {
    cpu::grouped_linear(c_, p, x, y);
  }
  void glu(const GluParams& params, const Tensor& x, const Tensor& y) override;
  void combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
               const Tensor& out) override;
  void expert_mlp(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
                  const Tensor& out) override {
    cpu::expert_mlp(c_, {&mlp, &x, &routing, &groups, &out});
  }

 private:
  // f(i) for each of n rows of `cols` elements. An element moves about `bytes`.
  template <typename F>
  void for_rows(int64_t n, int64_t cols, double bytes, F&& f) {
    c_.team.for_each(Context::worth_sharing(static_cast<double>(n * cols) * bytes, 0), n, f);
  }
  template <typename T>
  absl::Status set_aside(T*& pointer, size_t bytes) {
    ASSIGN_OR_RETURN(Buffer buffer, allocate(bytes));
    pointer = static_cast<T*>(buffer.data());
    buffers_.push_back(std::move(buffer));
    return absl::OkStatus();
  }
  absl::Status reserve_thread(const ScratchSizes& sizes);

  Context c_;
  std::vector<Buffer> buffers_;
  std::vector<float*> sums_;
  std::vector<cpu::AttentionScratch> attention_;
};

size_t CpuBackend::reserve_bytes(const StepLimits& limits) const { return ScratchSizes(limits).bytes(c_.team.size()); }

absl::Status CpuBackend::reserve(const StepLimits& limits) {
  const ScratchSizes sizes(limits);
  cpu::Scratch& s = c_.scratch;
  s.input_bytes = sizes.input;
  s.inner_bytes = sizes.intermediate;
  s.pairs_max = sizes.pairs;
  s.segments_max = sizes.n_segments;
  s.seqs_max = limits.seqs_max;
  s.key_dim_max = limits.key_dim_max;
  s.value_dim_max = sizes.value_dim;
  RETURN_IF_ERROR(set_aside(s.input, sizes.input));
  RETURN_IF_ERROR(set_aside(s.intermediate, sizes.intermediate));
  RETURN_IF_ERROR(set_aside(s.row_weights, sizes.row_weights));
  RETURN_IF_ERROR(set_aside(s.row_tokens, sizes.row_tokens));
  RETURN_IF_ERROR(set_aside(s.segments, sizes.segments));
  RETURN_IF_ERROR(set_aside(s.seq_tasks, sizes.seq_tasks));
  for (int rank = 0; rank < c_.team.size(); ++rank) RETURN_IF_ERROR(reserve_thread(sizes));
  s.sums = sums_;
  s.attention = attention_;
  return absl::OkStatus();
}

absl::Status CpuBackend::reserve_thread(const ScratchSizes& sizes) {
  RETURN_IF_ERROR(set_aside(sums_.emplace_back(), sizes.sums));
  cpu::AttentionScratch& a = attention_.emplace_back();
  RETURN_IF_ERROR(set_aside(a.queries, sizes.queries));
  RETURN_IF_ERROR(set_aside(a.scores, sizes.scores));
  RETURN_IF_ERROR(set_aside(a.out, sizes.out));
  RETURN_IF_ERROR(set_aside(a.values, sizes.values));
  RETURN_IF_ERROR(set_aside(a.unpacked, sizes.unpacked));
  RETURN_IF_ERROR(set_aside(a.key_scales, sizes.scales));
  return set_aside(a.value_scales, sizes.scales);
}

void CpuBackend::fill_weight(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) {
  CHECK(view.cols == w.shape.cols && group >= 0 && group < w.shape.groups && row_begin >= 0 &&
        row_begin + view.rows <= w.shape.rows);
  const Panels panels(c_.kernels, w);
  // A piece is a panel of the weight. So no two threads write to one cache line.
  const int64_t first = row_begin / cpu::kPanel, last = (row_begin + view.rows + cpu::kPanel - 1) / cpu::kPanel;
  c_.team.for_each(Context::worth_sharing(static_cast<double>(view.rows * view.cols) * 16, 0), last - first,
                   [&](int64_t i) {
                     const int64_t begin = std::max<int64_t>(0, (first + i) * cpu::kPanel - row_begin);
                     const int64_t end = std::min(view.rows, (first + i + 1) * cpu::kPanel - row_begin);
                     cpu::fill_panels(panels, {&view, group, row_begin, begin, end - begin});
                   });
}

void CpuBackend::embed(const Weight& table, const Tensor& ids, float scale, const Tensor& y) {
  const Panels panels(c_.kernels, table);
  CHECK(y.cols() == table.shape.cols && !table.shape.glu && table.shape.groups == 1);
  for_rows(y.rows(), y.cols(), 64, [&](int64_t i) {
    const int32_t id = ids.i32()[i];
    CHECK(id >= 0 && id < table.shape.rows);
    cpu::read_panel_row(panels, id, scale, y, i);
  });
}

void CpuBackend::norm(const NormParams& params, const Tensor& x, const Tensor& y) {
  CHECK(x.cols() == y.cols() && x.rows() == y.rows() && x.cols() % params.segments == 0);
  for_rows(x.rows(), x.cols(), 8, [&](int64_t i) {
    c_.kernels.norm({&params, number_pointer(x, i), number_pointer(y, i), x.dtype, y.dtype, x.cols()});
  });
}

void CpuBackend::rope(const RopeParams& params, const Tensor& positions, const Tensor& x) {
  CHECK(positions.shape[0] == x.rows());
  for_rows(x.rows(), x.cols(), 8, [&](int64_t i) {
    const float* table = params.cos_sin + static_cast<int64_t>(positions.i32()[i]) * params.dims;
    c_.kernels.rope(params, table, row_of(x, i));
  });
}

void CpuBackend::copy_heads(const HeadCopy& copy, const Tensor& from, const Tensor& to) {
  CHECK(from.dtype == DType::kF32 && to.dtype == DType::kF32);
  for_rows(from.rows(), int64_t{copy.heads} * copy.width, 8, [&](int64_t i) {
    for (int64_t h = 0; h < copy.heads; ++h) {
      std::memcpy(number_pointer(to, i, h * copy.to_stride), number_pointer(from, i, h * copy.from_stride),
                  static_cast<size_t>(copy.width) * sizeof(float));
    }
  });
}

void CpuBackend::scale_rows(const Tensor& factors, const Tensor& x) {
  for_rows(x.rows(), x.cols(), 8,
           [&](int64_t i) { c_.kernels.scale(row_of(x, i), row_of(x, i), x.cols(), factors.f32()[i]); });
}

void CpuBackend::gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) {
  CHECK(x.cols() == y.cols());
  for_rows(y.rows(), y.cols(), 8, [&](int64_t i) {
    const int32_t from = rows.i32()[i];
    CHECK(from >= 0 && from < x.rows());
    if (x.dtype == y.dtype) {  // bit by bit: callers may gather elements that are no floats
      std::memcpy(number_pointer(y, i), number_pointer(x, from),
                  static_cast<size_t>(x.cols()) * tensor::dtype_bytes(x.dtype));
    } else {
      c_.kernels.scale(row_of(x, from), row_of(y, i), x.cols(), 1);
    }
  });
}

void CpuBackend::route(const RouteParams& p, const Tensor& logits, const Tensor& tokens, const Routing& out) {
  for_rows(logits.rows(), logits.cols(), 200, [&](int64_t i) {
    p.route(p.config, logits.f32() + i * logits.stride(), p.bias, tokens.i32()[i], out.ids.i32() + i * p.config.top_k,
            out.weights.f32() + i * p.config.top_k);
  });
}

void CpuBackend::group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) {
  const int64_t n = routing.ids.shape.elements();
  const int32_t* ids = routing.ids.i32();
  int32_t* offsets = out.offsets.i32();
  CHECK(n_experts <= routing::kExpertsMax);
  int32_t next[routing::kExpertsMax] = {};
  for (int64_t i = 0; i < n; ++i) {
    CHECK(ids[i] < n_experts);
    if (ids[i] >= 0) ++next[ids[i]];
  }
  int32_t total = 0;
  for (int e = 0; e < n_experts; ++e) {
    const int32_t count = next[e];
    if (!out.load.empty()) {
      out.load.as<int64_t>()[e] += count;
      out.load.as<int64_t>()[n_experts + e] += count > 0;
    }
    offsets[e] = next[e] = total;
    total += count;
  }
  offsets[n_experts] = total;
  for (int64_t i = 0; i < n; ++i) {
    if (ids[i] >= 0) out.pairs.i32()[next[ids[i]]++] = static_cast<int32_t>(i);
  }
}

void CpuBackend::glu(const GluParams& params, const Tensor& x, const Tensor& y) {
  CHECK(x.cols() == 2 * y.cols() && x.rows() == y.rows());
  for_rows(y.rows(), y.cols(), 24, [&](int64_t i) { c_.kernels.glu(params, row_of(x, i), row_of(y, i), y.cols()); });
}

void CpuBackend::combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
                         const Tensor& out) {
  const int64_t top_k = routing.ids.cols(), n = routing.ids.shape.elements();
  const int64_t sorted = groups.offsets.i32()[groups.offsets.shape[0] - 1];
  CHECK(n <= c_.scratch.pairs_max && y.rows() >= sorted);
  int32_t* row_of_pair = c_.scratch.row_tokens;
  std::fill_n(row_of_pair, n, -1);
  for (int64_t j = 0; j < sorted; ++j) row_of_pair[groups.pairs.i32()[j]] = static_cast<int32_t>(j);
  for_rows(out.rows(), out.cols() * top_k, 8, [&](int64_t token) {
    for (int64_t pair = token * top_k; pair < (token + 1) * top_k; ++pair) {
      if (row_of_pair[pair] < 0) continue;
      c_.kernels.add_scaled(row_of(y, row_of_pair[pair]), scale * routing.weights.f32()[pair], row_of(out, token),
                            out.cols());
    }
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options) {
  ASSIGN_OR_RETURN(const cpu::Kernels* kernels, cpu::choose_kernels(options.isa));
  const int threads = options.threads > 0 ? options.threads : base::available_cores();
  const std::vector<int>& nodes = base::own_numa_nodes();
  if (nodes.size() > 1) base::log_info("backend", "cpu: memory is spread over ", nodes.size(), " NUMA nodes");
  return std::make_unique<CpuBackend>(*kernels, threads);
}

}  // namespace polymath::backend
