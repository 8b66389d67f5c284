#include "commands/bench/bench_kernels.h"

#include <cstdio>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "commands/bench/bench_limits.h"
#include "commands/op_calls.h"
#include "commands/runtime.h"
#include "model/config.h"
#include "routing/router.h"

namespace polymath::commands {
namespace {

using backend::Backend;
using quant::Weight;
using tensor::Buffer;
using tensor::DType;
using tensor::Tensor;

constexpr int64_t kPastCaches = int64_t{256} << 20;  // more bytes than caches hold: an op's copies take as many
constexpr int kCopiesMax = 48;                       // more are not made; a smaller op then reads partly from a cache

struct Work {
  double bytes = 0, flops = 0;
};

// Random numbers in the backend's memory.
class Memory {
 public:
  explicit Memory(Backend& backend) : backend_(backend), values_(1 << 20) {
    std::mt19937 engine(5);
    std::normal_distribution<float> normal;
    for (float& v : values_) v = normal(engine);
    for (size_t i = 0; i < quantiles_.size(); ++i) quantiles_[i] = values_[i];
  }

  absl::StatusOr<Tensor> matrix(DType dtype, int64_t rows, int64_t cols) {
    ASSIGN_OR_RETURN(Tensor t, zeros(dtype, rows, cols));
    std::vector<std::byte> raw(values_.size() * tensor::dtype_bytes(dtype));
    quant::plain_format(dtype).quantize(values_.data(), raw.data(), static_cast<int64_t>(values_.size()));
    const int64_t all = rows * cols;
    for (int64_t done = 0; done < all; done += static_cast<int64_t>(values_.size())) {
      Tensor part{dtype, {std::min(all - done, static_cast<int64_t>(values_.size()))}, nullptr};
      part.data = t.as<std::byte>() + done * static_cast<int64_t>(tensor::dtype_bytes(dtype));
      backend_.copy_in(part, raw.data());
    }
    return t;
  }
  absl::StatusOr<Tensor> zeros(DType dtype, int64_t rows, int64_t cols) {
    ASSIGN_OR_RETURN(Buffer buffer, backend_.allocate(static_cast<size_t>(rows * cols) * tensor::dtype_bytes(dtype)));
    const Tensor t{dtype, {rows, cols}, buffer.data()};
    buffers_.push_back(std::move(buffer));
    return t;
  }
  absl::StatusOr<Tensor> ints(const std::vector<int32_t>& values) {
    const auto n = static_cast<int64_t>(values.size());
    ASSIGN_OR_RETURN(const Tensor t, zeros(DType::kI32, 1, n));
    backend_.copy_in(t, values.data());
    return t.reshape({n});
  }
  absl::StatusOr<Weight> weight(const quant::WeightShape& shape, const quant::QuantFormat& format) {
    ASSIGN_OR_RETURN(Weight w, backend_.make_weight(shape, format));
    const float scale = 1 / std::sqrt(static_cast<float>(shape.cols));
    const quant::QuantFormat& stored = format.plain() ? format : quant::kBf16;
    const int64_t some = std::min<int64_t>(shape.rows, static_cast<int64_t>(values_.size()) / shape.cols);
    std::vector<std::byte> rows;  // of `format`, or of f32 where that is plain
    for (int64_t g = 0; g < shape.groups; ++g) {
      const quant::Generator generator{static_cast<uint64_t>(g + 1), quantiles_.data(), scale, &stored};
      if (backend_.generate_weight(w, g, 0, {generator, 0, shape.rows, shape.cols, shape.cols})) continue;
      const quant::QuantFormat& filled = format.plain() ? quant::kF32 : format;
      if (rows.empty()) {
        rows.resize(static_cast<size_t>(filled.bytes_of(some * shape.cols)));
        filled.quantize(values_.data(), rows.data(), some * shape.cols);
      }
      for (int64_t r = 0; r < shape.rows; r += some) {
        backend_.fill_weight(w, g, r,
                             {&filled, rows.data(), std::min(some, shape.rows - r), shape.cols, shape.cols, 1});
      }
    }
    return w;
  }
  void free() { buffers_.clear(); }

 private:
  Backend& backend_;
  std::vector<float> values_;
  static inline std::array<float, quant::kQuantiles> quantiles_{};
  std::vector<Buffer> buffers_;
};

class Bench {
 public:
  Bench(const Runtime& runtime, const Options& options, Limits& limits)
      : runtime_(runtime), options_(options), limits_(limits), memory_(runtime.backend()) {
    act_ = backend().activation_dtype(runtime.weight_dtype());
    packed_ = runtime.packed_format();
    shapes_ = bench_steps(options.bench);
  }
  absl::Status run();

 private:
  Backend& backend() const { return runtime_.backend(); }
  absl::Status reserve() const;
  int64_t packed_linear_max() const;
  absl::Status linear(const char* what, int64_t rows, int64_t cols, bool accumulate);
  absl::Status attention(const model::AttentionConfig& a);
  absl::Status write_random(const std::vector<backend::KvLayer>& caches);
  absl::Status attention(const backend::AttentionParams& params, const backend::KvShape& kv, const StepShape& s);
  absl::Status feed_forward(const model::FfnConfig& ffn);
  absl::Status experts(const model::FfnConfig& ffn, const StepShape& s, const std::vector<Weight>& router,
                       const std::vector<Weight>& gate_up, const std::vector<Weight>& down);
  double seconds_of(int copies, const Tensor& out, const std::function<void(int)>& op);
  // `op(i)` runs the call on the i-th of `copies` inputs, into `out`.
  struct Measured {
    std::string name;
    backend::OpCall call;
    Work work;
    int copies = 1;
    Tensor out;
  };
  void report(const Measured& m, const StepShape& s, const std::function<void(int)>& op);
  CallMaker calls(const StepShape& s) const {
    CallTypes types = call_types(runtime_);
    types.packed = packed_;
    return {types, s};
  }
  static int copies_of(double bytes) {
    return static_cast<int>(
        std::clamp<int64_t>(kPastCaches / std::max<int64_t>(1, static_cast<int64_t>(bytes)) + 1, 2, kCopiesMax));
  }
  absl::StatusOr<std::vector<Weight>> weights(const quant::WeightShape& shape, const quant::QuantFormat& format,
                                              int copies) {
    std::vector<Weight> out;
    for (int i = 0; i < copies; ++i) {
      ASSIGN_OR_RETURN(Weight w, memory_.weight(shape, format));
      out.push_back(std::move(w));
    }
    return out;
  }
  // What a weight of linear layers or experts is kept in. Rows of no whole blocks stay plain.
  const quant::QuantFormat& kept(int64_t cols) const {
    if (packed_ != nullptr && cols % packed_->block_cols == 0) return *packed_;
    return quant::plain_format(runtime_.weight_dtype());
  }
  static double bytes_of(const quant::QuantFormat& format, int64_t values) {
    return static_cast<double>(format.bytes_of(values));
  }

  const Runtime& runtime_;
  const Options& options_;
  Limits& limits_;
  Memory memory_;
  DType act_ = DType::kF32;
  const quant::QuantFormat* packed_ = nullptr;  // of linear layers and experts; null: plain weights
  std::vector<StepShape> shapes_;
  std::set<std::string> done_;  // ops that another layer had too
};

// The median time of one op, over copies of what it reads. A device with CUDA graphs runs one graph of many ops. The
// start and end of a graph take longer than a small op.
double Bench::seconds_of(int copies, const Tensor& out, const std::function<void(int)>& op) {
  constexpr int kRepeats = 7;
  constexpr int kGraphOpsLeast = 16;
  constexpr double kSecondsMost = 0.5;
  int ops = copies;
  float number = 0;
  const auto wait = [&] { backend().copy_out(&number, {DType::kF32, {1}, out.data}); };
  for (int i = 0; i < copies; ++i) op(i);
  wait();
  std::unique_ptr<backend::CapturedGraph> graph;
  if (backend().captures_graphs()) {
    backend().begin_capture();
    ops = copies * ((kGraphOpsLeast + copies - 1) / copies);
    for (int i = 0; i < ops; ++i) op(i % copies);
    auto made = backend().end_capture();
    if (made.ok()) graph = *std::move(made);
  }
  std::vector<double> seconds;
  const double end = base::steady_seconds() + kSecondsMost;
  for (int r = 0; r < kRepeats && (r < 2 || base::steady_seconds() < end); ++r) {
    limits_.sample_read();
    limits_.sample_gflops();
    const double begin = base::steady_seconds();
    if (graph != nullptr) {
      backend().launch(*graph);
    } else {
      for (int i = 0; i < ops; ++i) op(i % copies);
    }
    wait();
    if (r > 0) seconds.push_back((base::steady_seconds() - begin) / ops);  // the first warms up
  }
  return median(seconds);
}

void Bench::report(const Measured& m, const StepShape& s, const std::function<void(int)>& op) {
  limits_.restart();
  const double seconds = seconds_of(m.copies, m.out, op);
  const Work& work = m.work;
  const double memory_s = work.bytes / (limits_.read_gbs() * 1e9), compute_s = work.flops / (limits_.gflops() * 1e9);
  const auto names = backend().kernels_for(m.call);
  std::printf("%-46s %-16s %10.1f us %12.0f tok/s %7.1f GB/s %9.1f GFLOP/s  %5.1f %% of the %s bound  %s\n",
              m.name.c_str(), step_text(s).c_str(), seconds * 1e6, static_cast<double>(s.tokens()) / seconds,
              work.bytes / seconds / 1e9, work.flops / seconds / 1e9, 100 * std::max(memory_s, compute_s) / seconds,
              memory_s > compute_s ? "memory" : "compute", std::string(names.empty() ? "" : names.front()).c_str());
  std::fflush(stdout);
}

absl::Status Bench::linear(const char* what, int64_t rows, int64_t cols, bool accumulate) {
  const std::string name = absl::StrCat(what, " ", rows, " x ", cols);
  if (!done_.insert(name).second) return absl::OkStatus();
  const bool head = what == std::string_view("lm_head");  // stays plain
  const quant::QuantFormat& format = head ? quant::plain_format(runtime_.weight_dtype()) : kept(cols);
  const double bytes = bytes_of(format, rows * cols);
  const int copies = copies_of(bytes);
  ASSIGN_OR_RETURN(const std::vector<Weight> w, weights({.rows = rows, .cols = cols}, format, copies));
  for (const StepShape& s : shapes_) {
    const int64_t n = head ? s.n_seqs : s.tokens();
    ASSIGN_OR_RETURN(const Tensor x, memory_.matrix(act_, n, cols));
    ASSIGN_OR_RETURN(const Tensor y, memory_.zeros(DType::kF32, n, rows));
    StepShape rows_of = s;
    if (n < s.tokens()) rows_of.queries = 1;
    backend::OpCall call = calls(rows_of).linear({.rows = rows, .cols = cols}, accumulate);
    if (head) call.packed = nullptr;
    report({name, call, {bytes, 2.0 * static_cast<double>(rows * cols * n)}, copies, y}, s,
           [&](int i) { backend().linear(x, w[static_cast<size_t>(i)], {.accumulate = accumulate}, y); });
    memory_.free();
  }
  return backend().health();
}

// Random bytes are no packed cache: its scales would be any numbers.
absl::Status Bench::write_random(const std::vector<backend::KvLayer>& caches) {
  constexpr int64_t kRows = 4096;
  const backend::KvShape& kv = caches.front().shape;
  ASSIGN_OR_RETURN(const Tensor k, memory_.matrix(DType::kF32, kRows, int64_t{kv.n_kv_heads} * kv.key_dim));
  ASSIGN_OR_RETURN(const Tensor v, memory_.matrix(DType::kF32, kRows, int64_t{kv.n_kv_heads} * kv.value_dim));
  const int64_t all = kv.n_blocks * kv.block_size;
  for (int64_t first = 0; first < all; first += kRows) {
    std::vector<int32_t> slots(static_cast<size_t>(kRows));
    for (int64_t i = 0; i < kRows; ++i) {
      slots[static_cast<size_t>(i)] = static_cast<int32_t>(std::min(first + i, all - 1));
    }
    ASSIGN_OR_RETURN(const Tensor to, memory_.ints(slots));
    for (const backend::KvLayer& cache : caches) backend().kv_write(cache, k, kv.latent ? Tensor{} : v, to);
  }
  return backend().health();
}

absl::Status Bench::attention(const backend::AttentionParams& params, const backend::KvShape& kv, const StepShape& s) {
  const int blocks = (s.context + kv.block_size - 1) / kv.block_size;
  const double per_token = static_cast<double>(backend().kv_block_bytes(kv)) / kv.block_size;
  const int copies = copies_of(per_token * s.context * s.n_seqs);
  backend::KvShape shape = kv;
  shape.n_blocks = int64_t{blocks} * s.n_seqs;
  const auto all = static_cast<int64_t>(backend().kv_block_bytes(shape)) * shape.n_blocks;
  std::vector<backend::KvLayer> caches;
  for (int i = 0; i < copies; ++i) {
    const int64_t elements = all / static_cast<int64_t>(tensor::dtype_bytes(kv.dtype));
    const bool packed = kv.packing != backend::KvPacking::kNone;
    ASSIGN_OR_RETURN(const Tensor cache,
                     packed ? memory_.zeros(kv.dtype, 1, elements) : memory_.matrix(kv.dtype, 1, elements));
    caches.push_back({shape, cache.data});
  }
  if (kv.packing != backend::KvPacking::kNone) RETURN_IF_ERROR(write_random(caches));
  std::vector<int32_t> positions, start, table(static_cast<size_t>(shape.n_blocks));
  for (int seq = 0; seq <= s.n_seqs; ++seq) start.push_back(seq * s.queries);
  for (int64_t i = 0; i < s.tokens(); ++i) {
    positions.push_back(static_cast<int32_t>(s.context - s.queries + i % s.queries));
  }
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::mt19937(9));
  backend::StepLayout layout{.n_tokens = static_cast<int>(s.tokens()), .n_seqs = s.n_seqs};
  ASSIGN_OR_RETURN(layout.positions, memory_.ints(positions));
  ASSIGN_OR_RETURN(layout.slots, memory_.ints(positions));
  ASSIGN_OR_RETURN(layout.query_start, memory_.ints(start));
  ASSIGN_OR_RETURN(layout.kv_len, memory_.ints(std::vector<int32_t>(static_cast<size_t>(s.n_seqs), s.context)));
  ASSIGN_OR_RETURN(const Tensor blocks_of, memory_.ints(table));
  layout.block_table = blocks_of.reshape({s.n_seqs, blocks});
  ASSIGN_OR_RETURN(const Tensor q, memory_.matrix(DType::kF32, s.tokens(), int64_t{params.n_heads} * kv.key_dim));
  ASSIGN_OR_RETURN(const Tensor out, memory_.zeros(act_, s.tokens(), int64_t{params.n_heads} * kv.value_dim));
  int keys = s.context;  // seen by a sequence's last query
  if (params.window > 0) keys = std::min(keys, params.window);
  const double seen = s.queries > 1 ? s.queries * (s.context - (s.queries - 1) / 2.0) : keys;
  const Work work{per_token * s.n_seqs * (s.queries > 1 ? s.context : keys),
                  2.0 * s.n_seqs * seen * params.n_heads * (kv.key_dim + kv.value_dim)};
  const std::string name = absl::StrCat("attention ", params.n_heads, " heads on ", kv.n_kv_heads, " x ", kv.key_dim,
                                        kv.latent ? " latent" : "", ", context ", s.context);
  if (done_.insert(absl::StrCat(name, " of ", s.n_seqs, " x ", s.queries, " ", params.window)).second) {
    report({name, calls(s).attention(params, kv), work, copies, out}, s,
           [&](int i) { backend().attention(params, q, caches[static_cast<size_t>(i)], layout, out); });
  }
  memory_.free();
  return backend().health();
}

absl::Status Bench::attention(const model::AttentionConfig& a) {
  const std::optional<backend::AttentionParams> params = layers::params(a);
  if (!params.has_value()) {
    const std::string name = layers::text(a);
    if (done_.insert(name).second) std::printf("%s: the recurrence is not measured yet\n", name.c_str());
    return absl::OkStatus();
  }
  backend::KvShape kv = layers::cache(a).paged;
  kv.block_size = options_.runtime.block_size;
  kv.dtype = runtime_.kv_type().dtype;
  kv.packing = runtime_.kv_type().packing;
  RETURN_IF_ERROR(backend().check_kv(kv));
  for (const StepShape& s : shapes_) RETURN_IF_ERROR(attention(*params, kv, s));
  return absl::OkStatus();
}

// One feed-forward block in one step. It runs the router first, to count the experts that get tokens.
absl::Status Bench::experts(const model::FfnConfig& ffn, const StepShape& s, const std::vector<Weight>& router,
                            const std::vector<Weight>& gate_up, const std::vector<Weight>& down) {
  const int64_t n = s.tokens(), hidden = runtime_.config().hidden, top_k = ffn.router.top_k;
  const int n_experts = ffn.router.n_experts;
  ASSIGN_OR_RETURN(const Tensor x, memory_.matrix(act_, n, hidden));
  ASSIGN_OR_RETURN(const Tensor logits, memory_.zeros(DType::kF32, n, n_experts));
  ASSIGN_OR_RETURN(const Tensor out, memory_.zeros(DType::kF32, n, hidden));
  ASSIGN_OR_RETURN(const Tensor tokens, memory_.ints(std::vector<int32_t>(static_cast<size_t>(n))));
  backend::Routing routing;
  ASSIGN_OR_RETURN(routing.ids, memory_.zeros(DType::kI32, n, top_k));
  ASSIGN_OR_RETURN(routing.weights, memory_.zeros(DType::kF32, n, top_k));
  backend::ExpertGroups groups;
  ASSIGN_OR_RETURN(groups.offsets, memory_.ints(std::vector<int32_t>(static_cast<size_t>(n_experts) + 1)));
  ASSIGN_OR_RETURN(groups.pairs, memory_.ints(std::vector<int32_t>(static_cast<size_t>(n * top_k))));
  if (router.empty()) {  // one expert that every token visits
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    const int32_t ends[] = {0, static_cast<int32_t>(n)};
    const std::vector<float> ones(static_cast<size_t>(n), 1.0f);
    backend().copy_in(groups.pairs, order.data());
    backend().copy_in(groups.offsets, ends);
    backend().copy_in(routing.weights, ones.data());
  } else {
    const routing::Router* found = routing::find_router(ffn.routing);
    const auto route = [&](int i) {
      backend().route_experts({.router = &router[static_cast<size_t>(i)], .config = ffn.router, .route = found->route},
                              x, tokens, logits, {routing, groups});
    };
    report({absl::StrCat("routing to ", top_k, " of ", n_experts),
            calls(s).route(ffn, hidden),
            {router.front().value_bytes(), 2.0 * static_cast<double>(n * hidden) * n_experts},
            static_cast<int>(router.size()),
            logits},
           s, route);
    route(0);
  }
  std::vector<int32_t> offsets(static_cast<size_t>(n_experts) + 1);
  backend().copy_out(offsets.data(), groups.offsets);
  int touched = 0;
  for (int e = 0; e < n_experts; ++e) touched += offsets[e + 1] > offsets[e] ? 1 : 0;
  const double numbers = 3.0 * static_cast<double>(hidden) * ffn.intermediate;
  const double bytes = bytes_of(*gate_up.front().format, 2 * hidden * ffn.intermediate) +
                       bytes_of(*down.front().format, hidden * ffn.intermediate);
  report({absl::StrCat(ffn.role, " of ", ffn.intermediate, ", ", touched, " of ", n_experts, " touched"),
          calls(s).experts(ffn, hidden),
          {touched * bytes, 2.0 * numbers * static_cast<double>(offsets.back())},
          static_cast<int>(gate_up.size()),
          out},
         s, [&](int i) {
           const auto at = static_cast<size_t>(i);
           backend().expert_mlp(
               {.gate_up = &gate_up[at], .down = &down[at], .glu = ffn.glu, .weight_on_input = ffn.weight_on_input}, x,
               routing, groups, out);
         });
  memory_.free();
  return backend().health();
}

absl::Status Bench::feed_forward(const model::FfnConfig& ffn) {
  const std::string name = absl::StrCat(ffn.role, ffn.routing, ffn.intermediate);
  if (!done_.insert(name).second) return absl::OkStatus();
  const int64_t hidden = runtime_.config().hidden, groups = std::max(1, ffn.router.n_experts);
  const routing::Router* router = routing::find_router(ffn.routing);
  if (!ffn.routing.empty() && (router == nullptr || ffn.slots > 0)) {
    std::printf("%s: routing \"%s\" goes by way of the host, and is not measured\n", ffn.role.c_str(),
                ffn.routing.c_str());
    return absl::OkStatus();
  }
  const int copies = copies_of(bytes_of(kept(hidden), 3 * hidden * ffn.intermediate * groups));
  std::vector<Weight> routers;
  if (router != nullptr) {
    const DType dtype = backend()
                            .kept_format(quant::plain_format(runtime_.config().dtype), quant::WeightUse::kRouter,
                                         runtime_.weight_dtype())
                            .dtype;
    ASSIGN_OR_RETURN(routers, weights({.rows = groups, .cols = hidden}, quant::plain_format(dtype), copies));
  }
  ASSIGN_OR_RETURN(const auto gate_up,
                   weights({.groups = groups, .rows = 2 * int64_t{ffn.intermediate}, .cols = hidden, .glu = true},
                           kept(hidden), copies));
  ASSIGN_OR_RETURN(const auto down, weights({.groups = groups, .rows = hidden, .cols = ffn.intermediate},
                                            kept(ffn.intermediate), copies));
  RETURN_IF_ERROR(reserve());
  for (const StepShape& s : shapes_) RETURN_IF_ERROR(experts(ffn, s, routers, gate_up, down));
  return absl::OkStatus();
}

// As StepLimits.
int64_t Bench::packed_linear_max() const {
  int64_t most = 0;
  for (const auto& layer : runtime_.config().layers) {
    layers::SlotList slots;
    layers::add_slots(layer.attention, slots, runtime_.config().hidden);
    for (const layers::Slot& slot : slots.list) {
      if (!slot.is_vector() && !kept(slot.shape.cols).plain()) most = std::max(most, slot.shape.rows * slot.shape.cols);
    }
  }
  return most;
}

absl::Status Bench::reserve() const {
  const model::ModelConfig& c = runtime_.config();
  backend::StepLimits limits;
  int64_t top_k = 1;
  for (const StepShape& s : shapes_) {
    limits.tokens_max = std::max(limits.tokens_max, static_cast<int>(s.tokens()));
    limits.seqs_max = std::max(limits.seqs_max, s.n_seqs);
    limits.blocks_max =
        std::max(limits.blocks_max, (s.context + options_.runtime.block_size - 1) / options_.runtime.block_size);
  }
  limits.hidden_max = limits.expert_io_max = c.hidden;
  for (const auto& layer : c.layers) {
    layers::StepNeeds needs{.limits = limits};
    layers::reserve(layer.attention, needs);
    limits = needs.limits;
    limits.hidden_max = std::max(limits.hidden_max, *std::max_element(needs.scratch.begin(), needs.scratch.end()));
    for (const auto& f : layer.ffns) {
      limits.intermediate_max = std::max<int64_t>(limits.intermediate_max, f.intermediate);
      top_k = std::max<int64_t>(top_k, f.router.top_k);
      const bool packed = !kept(c.hidden).plain() || !kept(f.intermediate).plain();
      limits.experts.push_back({std::max(1, f.router.n_experts), c.hidden, f.intermediate,
                                int64_t{limits.tokens_max} * f.router.top_k,
                                packed ? DType::kU8 : runtime_.weight_dtype()});
    }
  }
  limits.packed_linear_max = packed_linear_max();
  limits.logits_max = 1;
  limits.pairs_max = limits.tokens_max * top_k;
  return backend().reserve(limits);
}

absl::Status Bench::run() {
  const model::ModelConfig& c = runtime_.config();
  RETURN_IF_ERROR(reserve());
  for (const auto& layer : c.layers) {
    layers::SlotList slots;
    layers::add_slots(layer.attention, slots, c.hidden);
    for (const layers::Slot& slot : slots.list) {
      if (slot.is_vector() || slot.shape.groups > 1) continue;
      RETURN_IF_ERROR(linear(slot.name.c_str(), slot.shape.rows, slot.shape.cols, slot.shape.rows == c.hidden));
    }
    RETURN_IF_ERROR(attention(layer.attention));
    for (const auto& ffn : layer.ffns) RETURN_IF_ERROR(feed_forward(ffn));
  }
  return linear("lm_head", c.vocab, c.hidden, false);
}

}  // namespace

std::vector<StepShape> bench_steps(const BenchOptions& options) {
  std::vector<StepShape> steps;
  for (const int n : options.batch) steps.push_back({n, 1, options.input});
  for (const BenchOptions::Prefill& p : options.timed_prefills()) steps.push_back({p.prompts, p.length, p.length});
  return steps;
}

absl::Status bench_kernels(const Options& options) {
  ASSIGN_OR_RETURN(auto runtime, Runtime::look(options.model, options.runtime));
  const DType dtype = runtime->weight_dtype() == DType::kBf16 ? DType::kBf16 : DType::kF32;
  const backend::DeviceLimits device = runtime->backend().measure_limits(dtype);  // while its memory is free
  base::ThreadPool pool(options.runtime.threads > 0 ? options.runtime.threads : base::available_cores());
  ASSIGN_OR_RETURN(auto meter, backend::LimitMeter::make());
  Limits limits(std::move(meter), pool, dtype, device);
  limits.sample_read();
  limits.sample_gflops();
  std::printf("%s: reads %.1f GB/s, multiplies %.0f GFLOP/s\n", std::string(runtime->backend().name()).c_str(),
              limits.read_gbs(), limits.gflops());
  return Bench(*runtime, options, limits).run();
}

}  // namespace polymath::commands
