#include "commands/runtime.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "commands/adapters.h"
#include "commands/flag_values.h"
#include "commands/memory.h"
#include "commands/op_calls.h"
#include "commands/progress.h"
#include "model/finite.h"
#include "model/rank_group.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

// Prefill tokens of a pass that also decodes, for each thread. Such a pass takes less than twice a pass that only
// decodes: measured on 2 cores of Zen 4 (bench/results).
constexpr int kMixedPrefillTokensPerThread = 32;
// The same for a GPU, where passes of few tokens are bound by reading weights. Not measured yet.
constexpr int kMixedPrefillTokensOnDevice = 512;

constexpr int kSnapshotsPerSequence = 2;                  // of recurrent state; more would seldom be resumed
constexpr int kSnapshotBlocks = 64;                       // KV blocks between two snapshots of a prompt
constexpr int64_t kDefaultKvBytesMax = int64_t{4} << 30;  // a larger KV cache is made only when it is asked for
constexpr double kDefaultKvShare = 0.4;                   // of what the weights leave free
// Of a GPU, beside weights, scratch and KV cache: CUDA graphs, and kernels loaded by the driver.
constexpr int64_t kDeviceMarginBytes = int64_t{1} << 30;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

absl::StatusOr<std::unique_ptr<weights::Checkpoint>> open_weights(const ModelOptions& options,
                                                                  const weights::ModelFiles& files,
                                                                  tensor::DType dtype) {
  if (options.load_format == "dummy") return weights::dummy_checkpoint(options.seed.value_or(0), dtype);
  return files.open_checkpoint();
}

struct MemorySum {
  int64_t weights = 0, scratch = 0, token_bytes = 0;  // token_bytes: of scratch, for each token of a step
  int64_t available = 0, held_back = 0, total = 0;    // held_back: of a device, by --gpu-memory-utilization
  int64_t beside = 0;                                 // what weights and scratch leave
};

// The flags that would make it fit, with values where there are such.
std::string what_would_fit(const MemorySum& m, const RuntimeOptions& options) {
  if (options.kv_bytes > 0 && m.beside > 0) {
    return absl::StrCat("--kv-cache-memory-bytes ", m.beside >> 20, "Mi would fit; so would a smaller ",
                        "--max-num-batched-tokens");
  }
  const int64_t tokens = (m.available - m.weights - (m.scratch - m.token_bytes * options.step_tokens)) /
                         std::max<int64_t>(1, 2 * m.token_bytes);  // half is left for the KV cache
  if (tokens >= 1 && tokens < options.step_tokens) {
    return absl::StrCat("--max-num-batched-tokens ", tokens, " would fit");
  }
  if (m.held_back > 0 && m.beside + m.held_back > 0) {
    const double share =
        1 - static_cast<double>(std::max<int64_t>(0, m.beside + m.held_back) / 2) / static_cast<double>(m.total);
    return absl::StrCat("--gpu-memory-utilization ", std::ceil(std::min(0.99, share) * 100) / 100, " might fit");
  }
  return "The weights alone leave no room: --dtype bfloat16 halves float32 ones, else a larger machine is needed";
}

}  // namespace

std::string served_name(const ModelOptions& model) {
  return model.served_names.empty() ? model.name : model.served_names.front();
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::look(const ModelOptions& model, const RuntimeOptions& options) {
  std::unique_ptr<Runtime> runtime(new Runtime(model, options));
  ASSIGN_OR_RETURN(const std::string path, weights::resolve_model(model.name, model.revision));
  ASSIGN_OR_RETURN(runtime->files_, weights::open_model_files(path));
  ASSIGN_OR_RETURN(runtime->config_, model::read_config(*runtime->files_));
  runtime->facts_ = model_facts(runtime->config_);
  RETURN_IF_ERROR(runtime->settle_types());
  RETURN_IF_ERROR(runtime->make_backends());
  return runtime;
}

absl::Status Runtime::make_backends() {
  const int ranks = options_.tensor_parallel;
  backend::BackendOptions of_rank{.threads = options_.threads, .isa = options_.isa};
  if (ranks > 1) {
    const int threads = options_.threads > 0 ? options_.threads : base::available_cores();
    of_rank.threads = std::max(1, threads / ranks);
  }
  ASSIGN_OR_RETURN(backend_, backend::make_backend(options_.backend, of_rank));
  if (ranks > 1 && backend_->memory_available() >= 0) {
    return absl::UnimplementedError(
        absl::StrCat("--tensor-parallel-size ", ranks, ": ranks on GPUs are not built yet; --device cpu has them"));
  }
  for (int rank = 1; rank < ranks; ++rank) {
    ASSIGN_OR_RETURN(auto backend, backend::make_backend(options_.backend, of_rank));
    more_backends_.push_back(std::move(backend));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::open(const ModelOptions& model, const RuntimeOptions& options) {
  ASSIGN_OR_RETURN(auto runtime, look(model, options));
  if (options.require_fused) RETURN_IF_ERROR(commands::require_fused(*runtime));
  // Only for the formats of its tensors; load() reports a checkpoint that cannot be opened.
  auto checkpoint = open_weights(model, *runtime->files_, runtime->dtype_);
  if (checkpoint.ok()) runtime->checkpoint_ = *std::move(checkpoint);
  RETURN_IF_ERROR(runtime->settle_memory());
  return runtime;
}

absl::Status Runtime::load(base::MetricsRegistry& metrics) {
  RETURN_IF_ERROR(load_weights());
  RETURN_IF_ERROR(reserve_step());
  RETURN_IF_ERROR(make_cache());
  RETURN_IF_ERROR(warm_up());
  return make_engine(metrics);
}

absl::Status Runtime::settle_types() {
  dtype_ = config_.dtype;
  if (model_options_.dtype != "auto") {
    const auto dtype = tensor::dtype_from_name(model_options_.dtype);
    if (!dtype.has_value()) return absl::InvalidArgumentError(absl::StrCat("--dtype: no type ", model_options_.dtype));
    dtype_ = *dtype;
  }
  kv_dtype_ = dtype_ == tensor::DType::kBf16 ? tensor::DType::kBf16 : tensor::DType::kF32;
  if (options_.kv_dtype != "auto") kv_dtype_ = *tensor::dtype_from_name(options_.kv_dtype);
  if (model_options_.max_model_len > config_.positions_max) {
    return absl::InvalidArgumentError(absl::StrCat("--max-model-len ", model_options_.max_model_len,
                                                   " exceeds the model's own maximum of ", config_.positions_max));
  }
  model_len_ = model_options_.max_model_len > 0 ? model_options_.max_model_len : config_.positions_max;
  step_tokens_ = std::max(options_.step_tokens, 1);
  sequences_ = std::min(options_.sequences, step_tokens_);  // each of them needs a token in a step
  logit_rows_ = std::min(step_tokens_, sequences_ * (1 + options_.speculation.n_draft_max));
  if (sequences_ < options_.sequences) {
    base::log_warning("serve", "--max-num-seqs is lowered to the ", step_tokens_, " of --max-num-batched-tokens");
  }
  return absl::OkStatus();
}

// Sums up all memory before any of it is allocated.
absl::Status Runtime::settle_memory() {
  const int64_t free = backend_->memory_available(), total = backend_->memory_total();
  const bool device = free >= 0;
  if (device) held_back_ = std::max<int64_t>(0, total - static_cast<int64_t>(options_.memory_share * total));
  const int64_t available = device ? std::max<int64_t>(0, free - held_back_) : available_memory();
  const auto unread = weights::dummy_checkpoint(0, config_.dtype);  // stands in for one that cannot be opened
  const int64_t weights =
      model::bytes_to_load(config_, checkpoint_ != nullptr ? *checkpoint_ : *unread, *backend_, dtype_);
  const int64_t logits = int64_t{logit_rows_} * config_.vocab;
  const int64_t token_bytes = facts_.step_floats_per_token * 4;
  const int64_t scratch = token_bytes * step_tokens_ + logits * 4 + (device ? kDeviceMarginBytes : 0);
  const int64_t beside = available - weights - scratch;
  kv_bytes_ = options_.kv_bytes;
  if (kv_bytes_ == 0 && device) kv_bytes_ = std::max<int64_t>(0, beside);  // a device's memory is for this
  if (kv_bytes_ == 0 && !device) {                                         // a host has others to serve
    const double share = kDefaultKvShare * static_cast<double>(std::max<int64_t>(0, beside));
    kv_bytes_ = std::min(kDefaultKvBytesMax, static_cast<int64_t>(share));
  }
  const auto text = [](int64_t bytes) { return bytes_text(static_cast<double>(bytes)); };
  const std::string sum =
      absl::StrCat(text(weights), " of weights (", std::string(tensor::dtype_name(dtype_)), ") + ", text(kv_bytes_),
                   " of KV cache + about ", text(scratch), " of scratch (", step_tokens_, " tokens a step)");
  const std::string of = device ? absl::StrCat(text(available), " (--gpu-memory-utilization ", options_.memory_share,
                                               " of ", text(total), ", of which ", text(free), " are free)")
                                : text(available);
  base::log_info("serve", "memory: ", sum, ", of ", of, " available");
  if (beside > 0 && kv_bytes_ <= beside) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("not enough memory: ", sum, " are needed and ", of,
                                                   " are available. ",
                                                   what_would_fit({.weights = weights,
                                                                   .scratch = scratch,
                                                                   .token_bytes = token_bytes,
                                                                   .available = available,
                                                                   .held_back = held_back_,
                                                                   .total = total,
                                                                   .beside = beside},
                                                                  options_)));
}

absl::Status Runtime::load_weights() {
  const double begin = base::steady_seconds();
  if (checkpoint_ == nullptr) {
    ASSIGN_OR_RETURN(checkpoint_, open_weights(model_options_, *files_, dtype_));
  }
  model::LoadOptions options{
      .dtype = dtype_, .model_len = model_len_, .capture_graphs = !options_.eager, .progress = loading_progress()};
  options.whole_experts = options_.expert_parallel && !more_backends_.empty();
  ASSIGN_OR_RETURN(options.adapters, resolve_adapters(model_options_.adapters));
  if (more_backends_.empty()) {
    ASSIGN_OR_RETURN(transformer_, model::load_model(config_, *checkpoint_, *backend_, options));
  } else {
    std::vector<backend::Backend*> backends = {backend_.get()};
    for (const auto& backend : more_backends_) backends.push_back(backend.get());
    ASSIGN_OR_RETURN(transformer_, model::RankGroup::load(config_, *checkpoint_, backends, options));
  }
  checkpoint_.reset();
  base::log_info("serve", "loaded ", bytes_text(static_cast<double>(transformer_->weight_bytes())), " in ",
                 absl::StrCat(std::round((base::steady_seconds() - begin) * 10) / 10), " s");
  return absl::OkStatus();
}

absl::Status Runtime::reserve_step() {
  backend::StepLimits limits;
  limits.tokens_max = step_tokens_;
  limits.seqs_max = sequences_;
  limits.logit_rows_max = logit_rows_;
  limits.blocks_max = static_cast<int>(ceil_div(model_len_, options_.block_size));
  const int64_t before = backend_->memory_available();
  RETURN_IF_ERROR(transformer_->reserve(limits));
  if (before < 0) return absl::OkStatus();
  const int64_t after = backend_->memory_available();
  step_bytes_ = before - after;
  // Exactly the rest, after everything else is allocated.
  if (options_.kv_bytes == 0) kv_bytes_ = std::max<int64_t>(0, after - held_back_ - kDeviceMarginBytes);
  return absl::OkStatus();
}

// Recurrent layers: up to half of the cache's bytes for states, a live one for each sequence before any snapshot.
void Runtime::settle_states() {
  const auto bytes = static_cast<int64_t>(transformer_->state_bytes());
  if (bytes == 0) return;
  const int64_t slots = std::max<int64_t>(2, kv_bytes_ / 2 / bytes);
  if (slots - 1 < sequences_) {
    base::log_warning("serve", "--max-num-seqs is lowered to ", slots - 1, ": a state of the recurrent layers takes ",
                      bytes_text(static_cast<double>(bytes)));
    sequences_ = static_cast<int>(slots - 1);
  }
  n_states_ = sequences_;
  n_snapshots_ = static_cast<int>(std::min<int64_t>(slots - n_states_, int64_t{kSnapshotsPerSequence} * sequences_));
  kv_bytes_ -= (n_states_ + n_snapshots_) * bytes;
}

absl::Status Runtime::make_cache() {
  settle_states();
  model::CacheOptions cache{
      .block_size = options_.block_size, .dtype = kv_dtype_, .n_state_slots = n_states_ + n_snapshots_};
  const auto block_bytes = static_cast<int64_t>(transformer_->kv_block_bytes(cache));
  int64_t n_blocks = kv_bytes_ / std::max<int64_t>(1, block_bytes);
  // By default no more than all sequences at full length can use.
  const int64_t useful = sequences_ * ceil_div(model_len_, options_.block_size) + 1;
  if (options_.kv_bytes == 0) n_blocks = std::min(n_blocks, std::max<int64_t>(2, useful));
  if (options_.kv_blocks > 0) n_blocks = options_.kv_blocks;
  const int64_t tokens = n_blocks * options_.block_size;
  if (n_blocks < 2 || (model_options_.max_model_len > 0 && tokens < model_len_)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache of ", bytes_text(static_cast<double>(kv_bytes_)), " holds ", tokens,
                     " tokens, but one request of ", model_len_, " needs ",
                     bytes_text(static_cast<double>(ceil_div(model_len_, options_.block_size) * block_bytes)),
                     "; raise --kv-cache-memory-bytes or lower --max-model-len"));
  }
  model_len_ = static_cast<int>(std::min<int64_t>(model_len_, tokens));
  cache.n_blocks = kv_blocks_ = n_blocks;
  RETURN_IF_ERROR(transformer_->make_cache(cache));
  base::log_info("serve", "KV cache: ", bytes_text(static_cast<double>(transformer_->kv_bytes())), ", ", n_blocks,
                 " blocks of ", options_.block_size, ", ", tokens, " tokens; requests of ", model_len_,
                 " tokens at once: ", tokens / std::max(1, model_len_));
  if (backend_->memory_available() >= 0) {
    const auto text = [](int64_t bytes) { return bytes_text(static_cast<double>(bytes)); };
    base::log_info("serve", "memory of the device: weights ", text(static_cast<int64_t>(transformer_->weight_bytes())),
                   ", KV cache ", text(static_cast<int64_t>(transformer_->kv_bytes())), ", scratch ", text(step_bytes_),
                   ", CUDA graphs ", text(static_cast<int64_t>(transformer_->graph_bytes())), "; left ",
                   text(backend_->memory_available()));
  }
  return absl::OkStatus();
}

// One forward pass: touches all memory before the first request, and finds a broken model.
absl::Status Runtime::warm_up() {
  const int n = std::min({options_.block_size, step_tokens_, model_len_, 16});
  const std::vector<int32_t> tokens(static_cast<size_t>(n), 0);
  std::vector<int32_t> places(static_cast<size_t>(n));
  std::iota(places.begin(), places.end(), 0);
  const std::vector<int32_t> query_start = {0, n}, kv_len = {n}, last = {n - 1};
  const std::vector<int32_t> block_table(static_cast<size_t>(ceil_div(model_len_, options_.block_size)), 0);
  const std::vector<int32_t> states(transformer_->has_state() ? 1 : 0, 0);
  const std::vector<kvcache::StateCopy> cleared(states.size(), {-1, 0});
  const model::Batch batch{.tokens = tokens,
                           .positions = places,
                           .slots = places,
                           .query_start = query_start,
                           .kv_len = kv_len,
                           .block_table = block_table,
                           .block_table_width = static_cast<int>(block_table.size()),
                           .logit_rows = last,
                           .state_slots = states,
                           .state_copies = cleared};
  ASSIGN_OR_RETURN(const tensor::Tensor logits, transformer_->forward(batch));
  const float* row = logits.f32();
  const bool finite = std::all_of(row, row + logits.shape.elements(), [](float v) { return std::isfinite(v); });
  return finite ? absl::OkStatus() : not_finite();
}

// Searches for the weight at fault only now: a good model does not pay for it.
absl::Status Runtime::not_finite() const {
  ASSIGN_OR_RETURN(const auto checkpoint, open_weights(model_options_, *files_, dtype_));
  ASSIGN_OR_RETURN(const std::string weight, model::first_non_finite(config_, *checkpoint, dtype_));
  return absl::DataLossError(absl::StrCat(
      "the first forward pass produced NaN or Inf: ",
      weight.empty() ? "all weights are finite; the model may overflow in this dtype: try --dtype float32" : weight));
}

absl::Status Runtime::make_engine(base::MetricsRegistry& metrics) {
  engine::EngineOptions options;
  options.model_name = served_name(model_options_);
  options.block_size = options_.block_size;
  options.n_blocks = kv_blocks_;
  options.model_len_max = model_len_;
  options.step_tokens_max = step_tokens_;
  const int threads = options_.threads > 0 ? options_.threads : base::available_cores();
  const int mixed =
      backend_->memory_available() >= 0 ? kMixedPrefillTokensOnDevice : kMixedPrefillTokensPerThread * threads;
  options.mixed_prefill_tokens_max = options_.mixed_prefill_tokens < 0 ? mixed : options_.mixed_prefill_tokens;
  options.sequences_max = sequences_;
  options.logit_rows_max = logit_rows_;
  options.n_state_slots = n_states_;
  options.n_state_snapshots = options_.prefix_caching ? n_snapshots_ : 0;
  options.snapshot_blocks = kSnapshotBlocks;
  options.waiting_max = options_.waiting;
  options.prefix_caching = options_.prefix_caching;
  options.policy = options_.policy;
  options.speculation = options_.speculation;
  RETURN_IF_ERROR(engine::check_options(options, *transformer_));
  engine_ = std::make_unique<engine::Engine>(*transformer_, options, metrics);
  return absl::OkStatus();
}

}  // namespace polymath::commands
