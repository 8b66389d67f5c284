#include "backend/reference/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "backend/host_backend.h"
#include "backend/reference/sample.h"
#include "backend/reference/values.h"

namespace polymath::backend {
namespace {

class ReferenceBackend : public HostBackend {
 public:
  std::string_view name() const override { return "reference"; }
  std::vector<KernelInfo> kernels() const override {
    static constexpr KernelInfo::Variant kOwn[] = {{"reference", true}};
    return kernels_of(kOwn, {});
  }

  absl::Status reserve(const StepLimits& limits) override {
    slot_bytes_ = static_cast<size_t>(limits.logits_max + limits.tokens_max + 1) * sizeof(float);
    return reserve_defaults(limits);
  }
  size_t reserve_bytes(const StepLimits& limits) const override { return reserve_defaults_bytes(limits); }
  // Copies results and samples as devices do, as their oracle.
  Tensor enqueue_readback(int slot, const Tensor& from) override;
  void await_readback(int slot) override { result_slots_[slot].collected = true; }
  bool samples_on_device() const override { return true; }
  void sample(const Tensor& logits, const SampleParams* params, const Tensor& ids) override {
    for (int64_t i = 0; i < logits.rows(); ++i) {
      const std::span<const float> row(logits.f32() + i * logits.stride(), static_cast<size_t>(logits.cols()));
      ids.i32()[i] = sample_by_sorting(row, params[i]);
    }
  }
  void take_sampled(const Tensor& chosen, const Tensor& rows, const Tensor& tokens) override {
    for (int64_t i = 0; i < tokens.shape[0]; ++i) {
      if (rows.i32()[i] >= 0) tokens.i32()[i] = chosen.i32()[rows.i32()[i]];
    }
  }

  // Packed matrices stay packed, whatever their format.
  const quant::QuantFormat& kept_format(const quant::QuantFormat& stored, quant::WeightUse use,
                                        DType dtype) const override {
    const bool exact = use == quant::WeightUse::kVector || use == quant::WeightUse::kRouter;
    return stored.plain() || exact ? Backend::kept_format(stored, use, dtype) : stored;
  }
  size_t weight_bytes(const WeightShape& shape, const quant::QuantFormat& format) const override {
    const WeightLayout at(shape, format);
    return static_cast<size_t>(shape.groups * (at.group_bytes + at.scale_bytes + at.zero_bytes));
  }
  absl::StatusOr<Weight> make_weight(const WeightShape& shape, const quant::QuantFormat& format) override {
    CHECK(shape.cols % format.block_cols == 0);
    const WeightLayout at(shape, format);
    Weight w{&format, shape, {}, {}, {}};
    ASSIGN_OR_RETURN(w.data, allocate(static_cast<size_t>(shape.groups * at.group_bytes)));
    if (format.scales.present()) {
      ASSIGN_OR_RETURN(w.scales, allocate(static_cast<size_t>(shape.groups * at.scale_bytes)));
    }
    if (format.zeros.present()) {
      ASSIGN_OR_RETURN(w.zeros, allocate(static_cast<size_t>(shape.groups * at.zero_bytes)));
    }
    return w;
  }
  void fill_weight(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) override;
  void copy_group(const Weight& from, int64_t from_group, Weight& to, int64_t to_group) override;

  size_t kv_block_bytes(const KvShape& s) const override { return static_cast<size_t>(backend::kv_block_bytes(s)); }
  absl::Status check_kv(const KvShape& s) const override {
    if (s.block_size >= 1 && (s.dtype == DType::kF32 || s.dtype == DType::kBf16)) return absl::OkStatus();
    return absl::InvalidArgumentError("the KV cache is float32 or bfloat16, in blocks of at least one token");
  }
  void kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) override;

  void embed(const Weight& table, const Tensor& ids, float scale, const Tensor& y) override;
  void norm(const NormParams& params, const Tensor& x, const Tensor& y) override;
  void linear(const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y) override;
  void batched_linear(const Tensor& x, int64_t x_stride, const Weight& w, int64_t y_stride, const Tensor& y) override;
  void rope(const RopeParams& params, const Tensor& positions, const Tensor& x) override;
  void copy_heads(const HeadCopy& copy, const Tensor& from, const Tensor& to) override;
  void scale_rows(const Tensor& factors, const Tensor& x) override;
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) override;
  void attention(const AttentionParams& params, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                 const Tensor& out) override;
  void route(const RouteParams& params, const Tensor& logits, const Tensor& tokens, const Routing& out) override;
  void group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) override;
  void grouped_linear(const GroupedLinear& params, const Tensor& x, const Tensor& y) override;
  void glu(const GluParams& params, const Tensor& x, const Tensor& y) override;
  void combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
               const Tensor& out) override;

 private:
  struct ResultSlot {
    std::vector<std::byte> bytes;
    bool collected = true;
  };
  ResultSlot result_slots_[2];
  size_t slot_bytes_ = 0;
};

Tensor ReferenceBackend::enqueue_readback(int index, const Tensor& from) {
  ResultSlot& slot = result_slots_[index];
  if (std::exchange(slot.collected, false)) slot.bytes.clear();
  slot.bytes.reserve(slot_bytes_);  // it never moves: what was posted before stays where it is
  CHECK(from.row_gap == 0 && slot.bytes.size() + from.bytes() <= slot_bytes_);
  const size_t begin = slot.bytes.size();
  const auto* data = static_cast<const std::byte*>(from.data);
  slot.bytes.insert(slot.bytes.end(), data, data + from.bytes());
  return {from.dtype, from.shape, slot.bytes.data() + begin};
}

// A view's memory, to be written: this file made the view of its own buffer.
std::byte* writable(const std::byte* p) { return const_cast<std::byte*>(p); }

// A tensor with one parameter for each block.
struct ParamTable {
  const std::byte* at(int64_t down, int64_t across) const {
    return data + (spec.transposed ? across * stride + down : down * stride + across) * bytes();
  }
  int64_t bytes() const { return static_cast<int64_t>(tensor::dtype_bytes(spec.dtype)); }

  const quant::ParamSpec& spec;
  const std::byte* data;
  int64_t stride;
};

// Copies the parameters of `view`'s blocks to `to`, from block row `first` on.
void copy_params(const quant::MatrixView& view, const ParamTable& from, const ParamTable& to, int64_t first) {
  if (!from.spec.present()) return;
  const WeightLayout blocks({.rows = view.rows, .cols = view.cols}, *view.format);
  for (int64_t down = 0; down < blocks.blocks_down; ++down) {
    for (int64_t across = 0; across < blocks.blocks_across; ++across) {
      std::memcpy(writable(to.at(first + down, across)), from.at(down, across), static_cast<size_t>(from.bytes()));
    }
  }
}

void ReferenceBackend::copy_group(const Weight& from, int64_t from_group, Weight& to, int64_t to_group) {
  CHECK(from.format == to.format && from.shape.rows == to.shape.rows && from.shape.cols == to.shape.cols);
  const WeightLayout at(to.shape, *to.format);
  const auto copy = [&](const Buffer& source, Buffer& target, int64_t bytes) {
    if (bytes == 0) return;
    std::memcpy(static_cast<std::byte*>(target.data()) + to_group * bytes,
                static_cast<const std::byte*>(source.data()) + from_group * bytes, static_cast<size_t>(bytes));
  };
  copy(from.data, to.data, at.group_bytes);
  copy(from.scales, to.scales, at.scale_bytes);
  copy(from.zeros, to.zeros, at.zero_bytes);
}

void ReferenceBackend::fill_weight(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) {
  CHECK(view.cols == w.shape.cols && row_begin + view.rows <= w.shape.rows && group < w.shape.groups);
  const quant::QuantFormat& format = *w.format;
  const quant::MatrixView to = weight_view(w, group);
  std::vector<float> row(view.cols);
  for (int64_t r = 0; r < view.rows; ++r) {
    std::byte* data = writable(to.row(row_begin + r).data);
    if (format.plain()) {
      view.read_row(r, 0, view.cols, row.data());
      format.quantize(row.data(), data, view.cols);
    } else {
      CHECK(view.format == &format);
      std::memcpy(data, view.row(r).data, static_cast<size_t>(format.bytes_of(view.cols)));
    }
  }
  if (format.plain()) return;
  CHECK(row_begin % format.block_rows == 0);
  const int64_t first = row_begin / format.block_rows;
  copy_params(view, {format.scales, view.scales, view.param_stride}, {format.scales, to.scales, to.param_stride},
              first);
  copy_params(view, {format.zeros, view.zeros, view.param_stride}, {format.zeros, to.zeros, to.param_stride}, first);
}

void ReferenceBackend::kv_write(const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) {
  for (int64_t i = 0; i < k.rows(); ++i) {
    const int64_t slot = slots.i32()[i];
    kv_store(kv, slot, false, k, i);
    if (!kv.shape.latent) kv_store(kv, slot, true, v, i);
  }
}

void ReferenceBackend::embed(const Weight& table, const Tensor& ids, float scale, const Tensor& y) {
  for (int64_t i = 0; i < y.rows(); ++i) {
    const int32_t id = ids.i32()[i];
    CHECK(id >= -1 && id < table.shape.rows);  // -1: no token; sample() gives it for NaN logits
    if (id < 0) {
      for (int64_t c = 0; c < y.cols(); ++c) store(y, i, c, 0);
      continue;
    }
    const WeightRow row(table, 0, id);
    for (int64_t c = 0; c < y.cols(); ++c) store(y, i, c, scale * row[c]);
  }
}

void ReferenceBackend::norm(const NormParams& p, const Tensor& x, const Tensor& y) {
  const int64_t width = x.cols() / p.segments;
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (int64_t begin = 0; begin < x.cols(); begin += width) {
      double sum = 0, squares = 0;
      for (int64_t c = 0; c < width; ++c) sum += load(x, i, begin + c);
      const double mean = p.kind == NormKind::kLayer ? sum / static_cast<double>(width) : 0;
      for (int64_t c = 0; c < width; ++c) squares += std::pow(load(x, i, begin + c) - mean, 2);
      const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(width) + p.eps);
      for (int64_t c = 0; c < width; ++c) {
        const float v = static_cast<float>((load(x, i, begin + c) - mean) * inverse);
        store(y, i, begin + c, v * (p.weight ? p.weight[c] : 1.0f) + (p.bias ? p.bias[c] : 0.0f));
      }
    }
  }
}

void ReferenceBackend::linear(const Tensor& x, const Weight& w, const LinearEpilogue& e, const Tensor& y) {
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows && w.shape.groups == 1);
  for (int64_t r = 0; r < w.shape.rows; ++r) {
    const WeightRow row(w, 0, r);
    for (int64_t i = 0; i < x.rows(); ++i) {
      float v = row.dot(x, i, 0) + (e.bias ? e.bias[r] : 0.0f);
      if (e.clamp > 0) v = std::clamp(v, -e.clamp, e.clamp);
      store(y, i, r, e.scale * v + (e.accumulate ? load(y, i, r) : 0.0f));
    }
  }
}

void ReferenceBackend::batched_linear(const Tensor& x, int64_t x_stride, const Weight& w, int64_t y_stride,
                                      const Tensor& y) {
  for (int64_t g = 0; g < w.shape.groups; ++g) {
    for (int64_t r = 0; r < w.shape.rows; ++r) {
      const WeightRow row(w, g, r);
      for (int64_t i = 0; i < x.rows(); ++i) store(y, i, g * y_stride + r, row.dot(x, i, g * x_stride));
    }
  }
}

void ReferenceBackend::rope(const RopeParams& p, const Tensor& positions, const Tensor& x) {
  const int half = p.dims / 2;
  for (int64_t i = 0; i < x.rows(); ++i) {
    const float* table = p.cos_sin + static_cast<int64_t>(positions.i32()[i]) * p.dims;
    for (int h = 0; h < p.heads; ++h) {
      const int64_t base = static_cast<int64_t>(h) * p.head_stride + p.offset;
      for (int j = 0; j < half; ++j) {
        const int64_t a = base + (p.interleaved ? 2 * j : j), b = base + (p.interleaved ? 2 * j + 1 : j + half);
        const float va = load(x, i, a), vb = load(x, i, b), cosine = table[2 * j], sine = table[2 * j + 1];
        store(x, i, a, va * cosine - vb * sine);
        store(x, i, b, vb * cosine + va * sine);
      }
    }
  }
}

void ReferenceBackend::copy_heads(const HeadCopy& copy, const Tensor& from, const Tensor& to) {
  for (int64_t i = 0; i < from.rows(); ++i) {
    for (int64_t h = 0; h < copy.heads; ++h) {
      std::copy_n(from.f32() + i * from.stride() + h * copy.from_stride, copy.width,
                  to.f32() + i * to.stride() + h * copy.to_stride);
    }
  }
}

void ReferenceBackend::scale_rows(const Tensor& factors, const Tensor& x) {
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (int64_t c = 0; c < x.cols(); ++c) store(x, i, c, load(x, i, c) * factors.f32()[i]);
  }
}

void ReferenceBackend::gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) {
  for (int64_t i = 0; i < y.rows(); ++i) {
    for (int64_t c = 0; c < y.cols(); ++c) store(y, i, c, load(x, rows.i32()[i], c));
  }
}

// The keys and values of one sequence, by position.
class SequenceCache {
 public:
  SequenceCache(const KvLayer& kv, const Tensor& block_table, int64_t seq)
      : kv_(kv), s_(kv.shape), table_(block_table.i32() + seq * block_table.cols()) {}

  float key(int64_t position, int64_t head, int64_t c) const { return kv_load(kv_, slot(position), false, head, c); }
  float value(int64_t position, int64_t head, int64_t c) const {
    return s_.latent ? key(position, 0, c) : kv_load(kv_, slot(position), true, head, c);
  }

 private:
  int64_t slot(int64_t position) const {
    return static_cast<int64_t>(table_[position / s_.block_size]) * s_.block_size + position % s_.block_size;
  }

  const KvLayer& kv_;
  const KvShape& s_;
  const int32_t* const table_;
};

// The first key that a query may see. The last one is its own.
int64_t first_key(const AttentionParams& p, int64_t position) {
  int64_t first = 0;
  if (p.window > 0) first = std::max<int64_t>(first, position - p.window + 1);
  if (p.chunk > 0) first = std::max<int64_t>(first, position - position % p.chunk);
  return first;
}

// A row of q and of the output.
struct Query {
  const Tensor& q;
  const Tensor& out;
  int64_t row, position;
};

// One head of a query: scores, softmax (with a sink, perhaps), weighted values.
void attend(const AttentionParams& p, const KvShape& s, const SequenceCache& cache, const Query& query, int64_t head) {
  const int64_t kv_head = head / (p.n_heads / s.n_kv_heads), first = first_key(p, query.position);
  std::vector<float> scores(query.position - first + 1);
  float top = p.sinks ? p.sinks[head] : -std::numeric_limits<float>::infinity();
  for (int64_t t = first; t <= query.position; ++t) {
    float sum = 0;
    for (int c = 0; c < s.key_dim; ++c) {
      sum += load(query.q, query.row, head * s.key_dim + c) * cache.key(t, kv_head, c);
    }
    scores[t - first] = sum * p.scale;
    top = std::max(top, scores[t - first]);
  }
  float total = p.sinks ? std::exp(p.sinks[head] - top) : 0;
  for (float& v : scores) total += v = std::exp(v - top);
  for (int c = 0; c < s.value_dim; ++c) {
    float sum = 0;
    for (int64_t t = first; t <= query.position; ++t) sum += scores[t - first] * cache.value(t, kv_head, c);
    store(query.out, query.row, head * s.value_dim + c, sum / total);
  }
}

void ReferenceBackend::attention(const AttentionParams& p, const Tensor& q, const KvLayer& kv, const StepLayout& layout,
                                 const Tensor& out) {
  for (int seq = 0; seq < layout.n_seqs; ++seq) {
    const SequenceCache cache(kv, layout.block_table, seq);
    for (int64_t i = layout.query_start.i32()[seq]; i < layout.query_start.i32()[seq + 1]; ++i) {
      const Query query{q, out, i, layout.positions.i32()[i]};
      for (int h = 0; h < p.n_heads; ++h) attend(p, kv.shape, cache, query, h);
    }
  }
}

void ReferenceBackend::route(const RouteParams& p, const Tensor& logits, const Tensor& tokens, const Routing& out) {
  for (int64_t i = 0; i < logits.rows(); ++i) {
    p.route(p.config, logits.f32() + i * logits.stride(), p.bias, tokens.i32()[i], out.ids.i32() + i * p.config.top_k,
            out.weights.f32() + i * p.config.top_k);
  }
}

void ReferenceBackend::group_by_expert(const Routing& routing, int n_experts, const ExpertGroups& out) {
  const int64_t n = routing.ids.shape.elements();
  int32_t next = 0;
  for (int e = 0; e < n_experts; ++e) {
    out.offsets.i32()[e] = next;
    for (int64_t pair = 0; pair < n; ++pair) {
      if (routing.ids.i32()[pair] == e) out.pairs.i32()[next++] = static_cast<int32_t>(pair);
    }
    if (out.load.empty()) continue;
    out.load.as<int64_t>()[e] += next - out.offsets.i32()[e];
    out.load.as<int64_t>()[n_experts + e] += next > out.offsets.i32()[e];
  }
  out.offsets.i32()[n_experts] = next;
}

void ReferenceBackend::grouped_linear(const GroupedLinear& p, const Tensor& x, const Tensor& y) {
  const Weight& w = *p.w;
  const ExpertGroups& groups = *p.groups;
  for (int64_t e = 0; e < w.shape.groups; ++e) {
    const int64_t begin = groups.offsets.i32()[e], end = groups.offsets.i32()[e + 1];
    for (int64_t r = 0; begin < end && r < w.shape.rows; ++r) {
      const WeightRow row(w, e, r);
      for (int64_t j = begin; j < end; ++j) {
        const int64_t from = p.gather ? groups.pairs.i32()[j] / p.top_k : j;
        store(y, j, r, row.dot(x, from, 0) + (p.bias ? p.bias[e * w.shape.rows + r] : 0.0f));
      }
    }
  }
}

void ReferenceBackend::glu(const GluParams& params, const Tensor& x, const Tensor& y) {
  for (int64_t i = 0; i < y.rows(); ++i) {
    for (int64_t c = 0; c < y.cols(); ++c) store(y, i, c, glu_value(params, load(x, i, c), load(x, i, y.cols() + c)));
  }
}

void ReferenceBackend::combine(const Tensor& y, const ExpertGroups& groups, const Routing& routing, float scale,
                               const Tensor& out) {
  const int64_t top_k = routing.ids.cols();
  std::vector<int64_t> row_of(routing.ids.shape.elements(), -1);
  const int64_t n_pairs = groups.offsets.i32()[groups.offsets.shape[0] - 1];
  for (int64_t j = 0; j < n_pairs; ++j) row_of[groups.pairs.i32()[j]] = j;
  for (int64_t pair = 0; pair < static_cast<int64_t>(row_of.size()); ++pair) {
    if (row_of[pair] < 0) continue;
    const float weight = scale * routing.weights.f32()[pair];
    for (int64_t c = 0; c < out.cols(); ++c) {
      store(out, pair / top_k, c, load(out, pair / top_k, c) + weight * load(y, row_of[pair], c));
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_reference_backend(const BackendOptions&) {
  return std::make_unique<ReferenceBackend>();
}

}  // namespace polymath::backend
