#include "commands/runtime.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "backend/batch_invariant.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "commands/adapters.h"
#include "commands/expert_balance.h"
#include "commands/flags/flag_values.h"
#include "commands/memory.h"
#include "commands/nodes.h"
#include "commands/one_sequence.h"
#include "commands/op_calls.h"
#include "commands/progress.h"
#include "commands/quantization.h"
#include "model/loading/finite.h"
#include "model/memory.h"
#include "model/nodes/follower.h"
#include "model/nodes/node_links.h"
#include "model/rank_group.h"
#include "quant/format.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

constexpr StepSize kSmallStep{2048, 256}, kLargeStep{8192, kDefaultSequencesMax};
constexpr int64_t kLargeDeviceBytes = int64_t{64} << 30;
constexpr double kTimedPassSeconds = 0.25;  // a longer pass is not tried at start

constexpr int kSnapshotBlocks = 64;  // KV blocks between two snapshots of a prompt

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

absl::StatusOr<std::unique_ptr<weights::Checkpoint>> open_weights(const ModelOptions& options,
                                                                  const weights::ModelFiles& files,
                                                                  tensor::DType dtype) {
  if (options.load_format == "dummy") return weights::dummy_checkpoint(options.seed.value_or(0), dtype);
  return files.open_checkpoint();
}

// Such routing gives a token other experts beside other tokens, on every backend.
absl::Status check_batch_invariant(const model::ModelConfig& config) {
  for (const auto& layer : config.layers) {
    for (const layers::FfnConfig& ffn : layer.ffns) {
      if (ffn.by_token()) continue;
      return absl::UnimplementedError(absl::StrCat(
          "--batch-invariant: ", config.architecture, " routes by the whole step (", ffn.routing,
          ffn.capacity_factor > 0 ? ", with a capacity" : "", "), so a token's experts depend on the others"));
    }
  }
  return absl::OkStatus();
}

// The format of most of the experts' and linear layers' bytes in a file.
const quant::QuantFormat* most_stored(const weights::Checkpoint& checkpoint) {
  std::map<const quant::QuantFormat*, size_t> bytes;
  for (const weights::TensorInfo& t : checkpoint.tensors()) {
    if (t.format != nullptr && t.shape.rank() >= 2) bytes[t.format] += t.bytes;
  }
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? nullptr : most->first;
}

}  // namespace

StepSize default_step_size(int64_t memory) { return memory >= kLargeDeviceBytes ? kLargeStep : kSmallStep; }

absl::StatusOr<std::unique_ptr<backend::Backend>> make_backend(const RuntimeOptions& options,
                                                               backend::BackendOptions of_backend) {
  of_backend.isa = options.isa;
  return options.batch_invariant ? backend::make_batch_invariant_backend(options.backend, of_backend)
                                 : backend::make_backend(options.backend, of_backend);
}

std::string served_name(const ModelOptions& model) {
  return model.served_names.empty() ? model.name : model.served_names.front();
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::look(const ModelOptions& model, const RuntimeOptions& options,
                                                       Replica replica) {
  std::unique_ptr<Runtime> runtime(new Runtime(model, options, replica));
  ASSIGN_OR_RETURN(const std::string path, weights::resolve_model(model.name, model.revision));
  ASSIGN_OR_RETURN(runtime->files_, weights::open_model_files(path, model.gguf));
  ASSIGN_OR_RETURN(runtime->config_, model::read_config(*runtime->files_, model.hf_overrides));
  if (!runtime->config_.left_out.empty()) {
    base::log_warning("serve", "of ", runtime->config_.architecture,
                      " the text part is served; left out: ", runtime->config_.left_out);
  }
  ASSIGN_OR_RETURN(const std::string scheme, scheme_of(*runtime->files_));
  ASSIGN_OR_RETURN(runtime->pack_to_, formats_to_pack_to(model.quantization, scheme));
  if (options.batch_invariant) RETURN_IF_ERROR(check_batch_invariant(runtime->config_));
  RETURN_IF_ERROR(runtime->settle_types());
  RETURN_IF_ERROR(runtime->settle_stages());
  RETURN_IF_ERROR(runtime->make_backends());
  RETURN_IF_ERROR(check_balance(options, runtime->config_, runtime->backend()));
  runtime->size_step(default_step_size(runtime->backend().memory_available()));
  return runtime;
}

absl::Status Runtime::make_backends() {
  const int ranks = over_nodes() ? 1 : options_.tensor_parallel * options_.pipeline_parallel;
  const int in_all = ranks * options_.replicas;
  int of_rank = options_.threads;
  if (in_all > 1) {
    const int threads = options_.threads > 0 ? options_.threads : base::available_cores();
    of_rank = std::max(1, threads / in_all);
  }
  RuntimeOptions options = options_;
  for (int rank = 0; rank < ranks; ++rank) {
    if (rank > 0) options.backend = backend().name();  // "auto" is settled by the first
    ASSIGN_OR_RETURN(auto backend,
                     make_backend(options, {.threads = of_rank, .device = replica_.index * ranks + rank}));
    if (over_nodes() && backend->memory_available() >= 0) {
      return absl::UnimplementedError("--nnodes: nodes compute on the CPU alone so far; use --device cpu");
    }
    if (options_.pipeline_parallel > 1 && backend->memory_available() >= 0) {
      return absl::UnimplementedError("--pipeline-parallel-size: stages run on the CPU alone; use --device cpu");
    }
    backends_.push_back(std::move(backend));
  }
  backend().use_on_this_thread();
  if (options_.tensor_parallel == 1 && options_.expert_parallel) {
    base::log_warning("serve", "--enable-expert-parallel changes nothing: --tensor-parallel-size is 1");
  }
  return absl::OkStatus();
}

backend::DeviceLimits Runtime::device_limits(tensor::DType dtype) const {
  backend::DeviceLimits limits = backend().measure_limits(dtype);
  const auto n = static_cast<double>(backends_.size());
  limits.read_gbs *= n, limits.gflops *= n;
  return limits;
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::open(const ModelOptions& model, const RuntimeOptions& options,
                                                       Replica replica) {
  ASSIGN_OR_RETURN(auto runtime, look(model, options, replica));
  const bool on_host = runtime->backend().memory_available() < 0;
  if (options.replicas > 1 && on_host) {
    runtime->shared_weights_ =
        replica.first != nullptr ? replica.first->shared_weights_ : std::make_shared<model::SharedWeights>();
  }
  if (options.require_fused) RETURN_IF_ERROR(commands::require_fused(*runtime));
  // Only for the formats of its tensors; load() reports a checkpoint that cannot be opened.
  auto checkpoint = open_weights(model, *runtime->files_, runtime->dtype_);
  if (checkpoint.ok()) {
    runtime->checkpoint_ = *std::move(checkpoint);
    RETURN_IF_ERROR(model::untie_stored_head(*runtime->checkpoint_, runtime->config_));
  }
  RETURN_IF_ERROR(runtime->settle_memory());
  return runtime;
}

const quant::QuantFormat* Runtime::packed_format() const {
  const quant::QuantFormat* stored = pack_to_.empty() ? nullptr : pack_to_.front();
  if (stored == nullptr && model_options_.load_format != "dummy") {
    const auto checkpoint = files_->open_checkpoint();
    if (checkpoint.ok()) stored = most_stored(**checkpoint);
  }
  if (stored == nullptr || stored->plain()) return nullptr;
  const quant::QuantFormat& kept = backend().kept_format(*stored, quant::WeightUse::kExperts, dtype_);
  return kept.plain() ? nullptr : &kept;
}

absl::Status Runtime::load(base::MetricsRegistry& metrics) {
  RETURN_IF_ERROR(load_weights());
  RETURN_IF_ERROR(reserve_step());
  RETURN_IF_ERROR(make_cache());
  export_memory(plan_, *transformer_, options_.replicas > 1 ? replica_.index : -1, metrics);
  RETURN_IF_ERROR(warm_up());
  RETURN_IF_ERROR(time_passes());
  return make_engine(metrics);
}

absl::Status Runtime::settle_types() {
  dtype_ = config_.dtype;
  if (model_options_.dtype != "auto") {
    const auto dtype = tensor::dtype_from_name(model_options_.dtype);
    if (!dtype.has_value()) return absl::InvalidArgumentError(absl::StrCat("--dtype: no type ", model_options_.dtype));
    dtype_ = *dtype;
  }
  kv_type_.dtype = dtype_ == tensor::DType::kBf16 ? tensor::DType::kBf16 : tensor::DType::kF32;
  if (options_.kv_dtype != "auto") kv_type_ = *backend::KvType::named(options_.kv_dtype);
  if (model_options_.max_model_len > config_.model_len_max) {
    return absl::InvalidArgumentError(absl::StrCat("--max-model-len ", model_options_.max_model_len,
                                                   " exceeds the model's own maximum of ", config_.model_len_max));
  }
  model_len_ = model_options_.max_model_len > 0 ? model_options_.max_model_len : config_.positions_max;
  return absl::OkStatus();
}

absl::Status Runtime::settle_stages() {
  constexpr int kRanksMax = 64;
  const int n_stages = options_.pipeline_parallel, n_layers = static_cast<int>(config_.layers.size());
  if (n_stages * options_.tensor_parallel > kRanksMax) {
    return absl::InvalidArgumentError(absl::StrCat("--pipeline-parallel-size times --tensor-parallel-size is ",
                                                   n_stages * options_.tensor_parallel, "; at most ", kRanksMax,
                                                   " ranks are served"));
  }
  if (options_.rank_fault.step > 0 &&
      static_cast<int>(options_.rank_fault.rank) >= n_stages * options_.tensor_parallel) {
    return absl::InvalidArgumentError(absl::StrCat("--rank-fault: there is no rank ", options_.rank_fault.rank));
  }
  if (n_stages > n_layers) {
    return absl::InvalidArgumentError(absl::StrCat("--pipeline-parallel-size is ", n_stages, ", and ",
                                                   config_.architecture, " has ", n_layers, " layers"));
  }
  if (!options_.pipeline_layers.empty() && static_cast<int>(options_.pipeline_layers.size()) != n_stages) {
    return absl::InvalidArgumentError(absl::StrCat("--pipeline-layers names ", options_.pipeline_layers.size(),
                                                   " stages, and --pipeline-parallel-size is ", n_stages));
  }
  if (n_stages > 1) {
    stages_ = options_.pipeline_layers.empty() ? parallel::even_stages(n_layers, n_stages) : options_.pipeline_layers;
  }
  return model::check_stages(config_, stages_);
}

void Runtime::size_step(StepSize defaults) {
  step_tokens_ = options_.step_tokens > 0 ? options_.step_tokens : defaults.tokens;
  const int sequences = options_.sequences > 0 ? options_.sequences : defaults.sequences;
  sequences_ = std::min(sequences, step_tokens_);  // each of them needs a token in a step
  logit_rows_ = std::min(step_tokens_, sequences_ * (1 + options_.speculation.n_draft_max));
}

std::vector<backend::Backend*> Runtime::ranks() const {
  std::vector<backend::Backend*> out;
  for (const auto& backend : backends_) out.push_back(backend.get());
  return out;
}

model::LoadOptions Runtime::load_options() const {
  return {.dtype = dtype_,
          .pack_to = pack_to_,
          .model_len = model_len_,
          .capture_graphs = !options_.eager,
          .whole_experts = options_.expert_parallel && options_.tensor_parallel > 1,
          .shared = shared_weights_,
          .shares_weights = shared_weights_ != nullptr && replica_.first != nullptr,
          .balance = options_.moves_experts ? std::optional(options_.balance) : std::nullopt,
          .stages = stages_,
          .rank_timeout_s = options_.rank_timeout_s,
          .fault = replica_.index == 0 ? options_.rank_fault : parallel::PlannedFault{},
          .adapters = adapter_directories_};
}

// Replicas on a host have equal parts of its memory. The weights are there once, with the first.
plan::MemoryBudget Runtime::budget() const {
  plan::MemoryBudget memory = memory_budget(ranks(), options_.memory_share);
  memory.available *= options_.nodes.size;  // the other nodes are taken to be like this one
  if (shared_weights_ == nullptr) return memory;
  memory.available = (memory.available - weights_once_) / options_.replicas;
  if (replica_.first == nullptr) memory.available += weights_once_;
  return memory;
}

plan::PlanRequest Runtime::plan_request() const {
  return {.step = {.tokens_max = step_tokens_,
                   .seqs_max = sequences_,
                   .logit_rows_max = logit_rows_,
                   .blocks_max = static_cast<int>(ceil_div(model_len_, options_.block_size))},
          .cache = {.block_size = options_.block_size, .type = kv_type_, .n_blocks = options_.kv_blocks},
          .model_len = model_len_,
          .whole_len = model_options_.max_model_len > 0,
          .snapshots = options_.prefix_caching,
          .kv_bytes = options_.kv_bytes,
          .memory = budget()};
}

// The plan is made and checked before the first byte is taken; load() allocates it.
absl::Status Runtime::settle_memory() {
  const auto unread = weights::dummy_checkpoint(0, config_.dtype);  // used where the checkpoint cannot be opened
  ASSIGN_OR_RETURN(adapter_directories_, resolve_adapters(model_options_.adapters));
  const model::LoadOptions load = load_options();
  const auto own = ranks();
  std::vector<const backend::Backend*> backends(own.begin(), own.end());
  backends.resize(backends.size() * static_cast<size_t>(options_.nodes.size), backends.front());
  ASSIGN_OR_RETURN(const auto planner,
                   plan::Planner::create({config_, checkpoint_ != nullptr ? *checkpoint_ : *unread, load}, backends));
  weights_once_ = replica_.first != nullptr ? replica_.first->plan_.weights : planner.plan(plan_request()).weights;
  plan::PlanRequest request = plan_request();
  for (const kvcache::CacheSpec& spec : model::cache_specs(config_, request.cache)) {
    if (spec.kind == kvcache::CacheKind::kPaged) RETURN_IF_ERROR(backend().check_kv(spec.paged));
  }
  plan_ = planner.plan(request);
  if (!plan_.fits()) {  // a model that fills the device
    size_step(kSmallStep);
    request = plan_request();
    plan_ = planner.plan(request);
  }
  RETURN_IF_ERROR(check_plan(planner, request, plan_));
  step_limits_ = request.step;
  cache_options_ = plan_.cache_options(request.cache);
  plan_summary_ = plan_text(plan_, request);
  plan_details_ = plan_table(plan_, request);
  base::log_info("serve", "memory plan: ", plan_summary_);
  if (sequences_ < options_.sequences) {
    base::log_warning("serve", "--max-num-seqs is lowered to the ", step_tokens_, " of --max-num-batched-tokens");
  }
  if (plan_.state_bytes > 0 && plan_.n_live_states < sequences_) {
    base::log_warning("serve", "--max-num-seqs is lowered to ", plan_.n_live_states,
                      ": a state of the recurrent layers takes ", bytes_text(static_cast<double>(plan_.state_bytes)));
    sequences_ = plan_.n_live_states;
  }
  return absl::OkStatus();
}

// What a step of one node must mean on the others.
std::string Runtime::settings_text() const {
  const auto config = files_->config();
  const AdapterOptions& adapters = model_options_.adapters;
  const std::string overrides = boost::json::serialize(model_options_.hf_overrides);
  return absl::StrCat(config.ok() ? boost::json::serialize(*config) : "", overrides, " dtype ",
                      std::string(tensor::dtype_name(dtype_)), " kv ", std::string(kv_type_.name()), " quantization ",
                      model_options_.quantization, " length ", model_len_, " tp ", options_.tensor_parallel, " ep ",
                      options_.expert_parallel, " stages ", absl::StrJoin(stages_, ","), " block ", options_.block_size,
                      " invariant ", options_.batch_invariant, " adapters ", adapters.modules.size());
}

// Waits for the other nodes, where there are some.
absl::StatusOr<model::LoadOptions> Runtime::joined_options() {
  if (checkpoint_ == nullptr) {
    ASSIGN_OR_RETURN(checkpoint_, open_weights(model_options_, *files_, dtype_));
  }
  model::LoadOptions options = load_options();
  options.progress = loading_progress();
  if (!over_nodes()) return options;
  ASSIGN_OR_RETURN(const parallel::NodeOptions nodes, node_options(options_.nodes, settings_text()));
  ASSIGN_OR_RETURN(options.nodes, parallel::NodeMesh::join(nodes));
  return options;
}

// By rank; null: on another node.
std::vector<backend::Backend*> Runtime::backends_of_group() const {
  if (!over_nodes()) return ranks();
  std::vector<backend::Backend*> of_group(static_cast<size_t>(options_.nodes.size), nullptr);
  of_group[static_cast<size_t>(model::rank_of_node(0, options_.pipeline_parallel, options_.nodes.size))] = &backend();
  return of_group;
}

absl::Status Runtime::follow(const std::function<void()>& ready) {
  ASSIGN_OR_RETURN(const model::LoadOptions options, joined_options());
  return model::follow_node({config_, *checkpoint_, backend(), options}, kv_type_, ready);
}

absl::Status Runtime::load_weights() {
  ASSIGN_OR_RETURN(const model::LoadOptions options, joined_options());
  const double begin = base::steady_seconds();
  ASSIGN_OR_RETURN(transformer_, model::RankGroup::load(config_, *checkpoint_, backends_of_group(), options));
  checkpoint_.reset();
  base::log_info("serve", "loaded ", bytes_text(static_cast<double>(transformer_->weight_bytes())), " in ",
                 absl::StrCat(std::round((base::steady_seconds() - begin) * 10) / 10), " s");
  return absl::OkStatus();
}

absl::Status Runtime::reserve_step() { return transformer_->reserve(step_limits_); }

absl::Status Runtime::make_cache() {
  model_len_ = static_cast<int>(std::min<int64_t>(model_len_, plan_.tokens));
  RETURN_IF_ERROR(transformer_->make_cache(cache_options_));
  compare_with_plan(plan_, *transformer_);
  base::log_info("serve", "KV cache: ", plan_.n_blocks, " blocks of ", options_.block_size, ", ", plan_.tokens,
                 " tokens; requests of ", model_len_, " tokens at once: ", plan_.tokens / std::max(1, model_len_));
  if (plan_.memory.is_device) {
    base::log_info("serve", "CUDA graphs take ", bytes_text(static_cast<double>(transformer_->graph_bytes())), "; ",
                   bytes_text(static_cast<double>(backend().memory_available())), " of the device are left");
  }
  return absl::OkStatus();
}

// A forward pass of `n` prompt tokens before the first request. True: its logits are finite.
absl::StatusOr<bool> Runtime::try_pass(int n) {
  OneSequence sequence(*transformer_, options_.block_size, model_len_);
  const std::vector<int32_t> tokens(static_cast<size_t>(n), 0);
  ASSIGN_OR_RETURN(const tensor::Tensor logits,
                   transformer_->forward(sequence.step(tokens, OneSequence::Logits::kLast)));
  const float* row = logits.f32();
  return std::all_of(row, row + logits.shape.elements(), [](float v) { return std::isfinite(v); });
}

// Touches the memory and finds a broken model.
absl::Status Runtime::warm_up() {
  ASSIGN_OR_RETURN(const bool finite, try_pass(std::min({options_.block_size, step_tokens_, model_len_, 16})));
  return finite ? absl::OkStatus() : not_finite();
}

// Passes of one token, 8, 64, ... tell the engine what its steps will take, as long as the next takes little time.
absl::Status Runtime::time_passes() {
  constexpr int kGrowth = 8;
  const int most = std::min(step_tokens_, model_len_);
  double seconds = 0;
  for (int n = 1; n <= most && kGrowth * seconds < kTimedPassSeconds; n *= kGrowth) {
    RETURN_IF_ERROR(try_pass(n).status());  // a device loads kernels at their first use
    const double begin = base::steady_seconds();
    RETURN_IF_ERROR(try_pass(n).status());
    seconds = base::steady_seconds() - begin;
    times_.learn(n == 1 ? engine::StepShape{.n_decodes = 1} : engine::StepShape{.n_prompt = n}, seconds);
  }
  return absl::OkStatus();
}

// Names the weight at fault. It reads the checkpoint again, so it runs only after a failure.
absl::Status Runtime::not_finite() const {
  ASSIGN_OR_RETURN(const auto checkpoint, open_weights(model_options_, *files_, dtype_));
  ASSIGN_OR_RETURN(const std::string weight, model::first_non_finite(config_, *checkpoint, dtype_));
  return absl::DataLossError(absl::StrCat(
      "the first forward pass produced NaN or Inf: ",
      weight.empty() ? "all weights are finite; the model may overflow in this dtype: try --dtype float32" : weight));
}

engine::MetricsOptions Runtime::metrics_options() const {
  const bool is_device = backend().memory_available() >= 0;
  engine::MetricsOptions metrics = options_.metrics;
  metrics.engine = replica_.index;
  metrics.n_engines = options_.replicas;
  metrics.cache_config = {
      {"cache_dtype", std::string(kv_type_.name())},
      {"gpu_memory_utilization", is_device ? absl::StrCat(options_.memory_share) : "None"},
      {"kv_cache_memory_bytes", options_.kv_bytes > 0 ? absl::StrCat(options_.kv_bytes) : "None"},
      {"num_gpu_blocks_override", options_.kv_blocks > 0 ? absl::StrCat(options_.kv_blocks) : "None"},
      {"prefix_caching_hash_algo", "sha256"},
  };
  const AdapterOptions& adapters = model_options_.adapters;
  if (!adapters.enabled) return metrics;
  for (const AdapterModule& module : adapters.modules) metrics.adapters.push_back(module.name);
  metrics.adapters_max = adapters.n_max.value_or(std::max<int>(1, static_cast<int>(adapters.modules.size())));
  return metrics;
}

absl::Status Runtime::make_engine(base::MetricsRegistry& metrics) {
  engine::EngineOptions options;
  options.model_name = served_name(model_options_);
  options.block_size = options_.block_size;
  options.n_blocks = plan_.n_blocks;
  options.model_len_max = model_len_;
  options.step_tokens_max = step_tokens_;
  options.mixing = options_.mixing;
  options.times = times_;
  options.sequences_max = sequences_;
  options.logit_rows_max = logit_rows_;
  options.n_state_slots = plan_.n_live_states;
  options.n_state_snapshots = plan_.n_snapshots;
  options.snapshot_blocks = kSnapshotBlocks;
  options.waiting_max = static_cast<int>(ceil_div(options_.waiting, options_.replicas));
  options.waiting_tokens_max = ceil_div(options_.waiting_tokens, options_.replicas);
  options.metrics = metrics_options();
  options.prefix_caching = options_.prefix_caching;
  options.policy = options_.policy;
  options.speculation = options_.speculation;
  RETURN_IF_ERROR(engine::check_options(options, *transformer_));
  engine_ = std::make_unique<engine::Engine>(*transformer_, options, metrics);
  return absl::OkStatus();
}

}  // namespace polymath::commands
