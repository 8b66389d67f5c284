#include "commands/house.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "commands/flag_values.h"
#include "commands/memory.h"
#include "commands/progress.h"
#include "model/finite.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

// Prefill tokens in a pass that also decodes, a thread: measured on 2 cores of Zen 4 (bench/results), a pass then takes
// less than twice a pass that only decodes, whatever else arrives.
constexpr int kMixedPrefillTokensPerThread = 32;
// The same of a device, whose passes of few tokens are bound by reading the weights. Not measured yet.
constexpr int kMixedPrefillTokensOnDevice = 512;

constexpr int64_t kDefaultKvBytesMax = int64_t{4} << 30;  // a larger KV cache is made only when it is asked for
constexpr double kDefaultKvShare = 0.4;                   // of what the weights leave free
constexpr double kDefaultDeviceKvShare = 0.8;             // the same, of a device's own memory

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

absl::StatusOr<std::unique_ptr<weights::Checkpoint>> open_weights(const Settings& settings,
                                                                  const std::string& directory, tensor::DType dtype) {
  if (settings.load_format == "dummy") return weights::dummy_checkpoint(settings.seed.value_or(0), dtype);
  return weights::open_checkpoint(directory, {});
}

}  // namespace

std::string served_name(const Settings& settings) {
  return settings.served_names.empty() ? settings.model : settings.served_names.front();
}

absl::StatusOr<std::unique_ptr<House>> House::open(const Settings& settings) {
  std::unique_ptr<House> house(new House);
  ASSIGN_OR_RETURN(house->directory_, weights::resolve_model(settings.model, settings.revision));
  ASSIGN_OR_RETURN(house->config_, model::read_config(house->directory_));
  house->facts_ = model_facts(house->config_);
  RETURN_IF_ERROR(house->settle_types(settings));
  ASSIGN_OR_RETURN(house->backend_,
                   backend::make_backend(settings.backend, {.threads = settings.threads, .isa = settings.isa}));
  RETURN_IF_ERROR(house->settle_memory(settings));
  return house;
}

absl::Status House::load(const Settings& settings, base::MetricsRegistry& metrics) {
  RETURN_IF_ERROR(load_weights(settings));
  RETURN_IF_ERROR(make_cache(settings));
  RETURN_IF_ERROR(warm_up(settings));
  make_engine(settings, metrics);
  return absl::OkStatus();
}

absl::Status House::settle_types(const Settings& settings) {
  dtype_ = config_.dtype;
  if (settings.dtype != "auto") {
    const auto dtype = tensor::dtype_from_name(settings.dtype);
    if (!dtype.has_value()) return absl::InvalidArgumentError(absl::StrCat("--dtype: no type ", settings.dtype));
    dtype_ = *dtype;
  }
  kv_dtype_ = dtype_ == tensor::DType::kBf16 ? tensor::DType::kBf16 : tensor::DType::kF32;
  if (settings.kv_dtype != "auto") kv_dtype_ = *tensor::dtype_from_name(settings.kv_dtype);
  if (settings.max_model_len > config_.positions_max) {
    return absl::InvalidArgumentError(absl::StrCat("--max-model-len ", settings.max_model_len,
                                                   " exceeds the model's own maximum of ", config_.positions_max));
  }
  model_len_ = settings.max_model_len > 0 ? settings.max_model_len : config_.positions_max;
  step_tokens_ = std::max(settings.step_tokens, 1);
  sequences_ = std::min(settings.sequences, step_tokens_);  // each of them needs a token in a step
  if (sequences_ < settings.sequences) {
    base::log_warning("serve", "--max-num-seqs is lowered to the ", step_tokens_, " of --max-num-batched-tokens");
  }
  return absl::OkStatus();
}

// Everything that will be taken is summed up before the first byte of it.
absl::Status House::settle_memory(const Settings& settings) {
  const int64_t of_device = backend_->memory_available();
  const int64_t available = of_device >= 0 ? of_device : available_memory();
  const int64_t weights = weight_bytes(facts_, dtype_);
  const int64_t logits = static_cast<int64_t>(std::min(settings.sequences, step_tokens_)) * config_.vocab;
  const int64_t scratch = (facts_.step_floats_per_token * step_tokens_ + logits) * 4;
  const int64_t beside = available - weights - scratch;
  kv_bytes_ = settings.kv_bytes;
  if (kv_bytes_ == 0) {
    // A host has others to serve; a device's memory is for this.
    const auto share = [&](double of) {
      return static_cast<int64_t>(of * static_cast<double>(std::max<int64_t>(0, beside)));
    };
    kv_bytes_ = of_device >= 0 ? share(kDefaultDeviceKvShare) : std::min(kDefaultKvBytesMax, share(kDefaultKvShare));
  }
  const std::string sum =
      absl::StrCat(bytes_text(static_cast<double>(weights)), " of weights (", std::string(tensor::dtype_name(dtype_)),
                   ") + ", bytes_text(static_cast<double>(kv_bytes_)), " of KV cache + about ",
                   bytes_text(static_cast<double>(scratch)), " of scratch (", step_tokens_, " tokens a step)");
  base::log_info("serve", "memory: ", sum, ", of ", bytes_text(static_cast<double>(available)), " available");
  if (beside > 0 && kv_bytes_ <= beside) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "not enough memory: ", sum, " are needed and ", bytes_text(static_cast<double>(available)),
      " are available. --kv-cache-memory-bytes, --max-num-batched-tokens and --dtype bfloat16 make it less"));
}

absl::Status House::load_weights(const Settings& settings) {
  const double begin = base::steady_seconds();
  ASSIGN_OR_RETURN(auto checkpoint, open_weights(settings, directory_, dtype_));
  model::LoadOptions options{.dtype = dtype_, .model_len = model_len_, .progress = loading_progress()};
  ASSIGN_OR_RETURN(transformer_, model::load_model(config_, *checkpoint, *backend_, options));
  base::log_info("serve", "loaded ", bytes_text(static_cast<double>(transformer_->weight_bytes())), " in ",
                 absl::StrCat(std::round((base::steady_seconds() - begin) * 10) / 10), " s");
  return absl::OkStatus();
}

absl::Status House::make_cache(const Settings& settings) {
  const auto shapes = transformer_->kv_shapes(settings.block_size, kv_dtype_);
  const auto block_bytes = static_cast<int64_t>(kvcache::KvCache::block_bytes(*backend_, shapes));
  int64_t n_blocks = kv_bytes_ / std::max<int64_t>(1, block_bytes);
  // Without a wish of the user's: no more than every sequence at full length could use.
  const int64_t useful = sequences_ * ceil_div(model_len_, settings.block_size) + 1;
  if (settings.kv_bytes == 0) n_blocks = std::min(n_blocks, std::max<int64_t>(2, useful));
  if (settings.kv_blocks > 0) n_blocks = settings.kv_blocks;
  const int64_t tokens = n_blocks * settings.block_size;
  if (n_blocks < 2 || (settings.max_model_len > 0 && tokens < model_len_)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache of ", bytes_text(static_cast<double>(kv_bytes_)), " holds ", tokens,
                     " tokens, but one request of ", model_len_, " needs ",
                     bytes_text(static_cast<double>(ceil_div(model_len_, settings.block_size) * block_bytes)),
                     "; raise --kv-cache-memory-bytes or lower --max-model-len"));
  }
  model_len_ = static_cast<int>(std::min<int64_t>(model_len_, tokens));
  ASSIGN_OR_RETURN(cache_, kvcache::KvCache::create(*backend_, shapes, n_blocks));
  backend::StepLimits limits;
  limits.tokens_max = step_tokens_;
  limits.seqs_max = sequences_;
  limits.logit_rows_max = limits.seqs_max;
  limits.blocks_max = static_cast<int>(ceil_div(model_len_, settings.block_size));
  RETURN_IF_ERROR(transformer_->attach(*cache_, limits));
  base::log_info("serve", "KV cache: ", bytes_text(static_cast<double>(cache_->bytes())), ", ", n_blocks, " blocks of ",
                 settings.block_size, ", ", tokens, " tokens; requests of ", model_len_,
                 " tokens at once: ", tokens / std::max(1, model_len_));
  return absl::OkStatus();
}

// One forward pass, so that the first request finds everything touched, and a broken model fails here.
absl::Status House::warm_up(const Settings& settings) {
  const int n = std::min({settings.block_size, step_tokens_, model_len_, 16});
  const std::vector<int32_t> tokens(static_cast<size_t>(n), 0);
  std::vector<int32_t> places(static_cast<size_t>(n));
  std::iota(places.begin(), places.end(), 0);
  const std::vector<int32_t> query_start = {0, n}, kv_len = {n}, last = {n - 1};
  const std::vector<int32_t> block_table(static_cast<size_t>(ceil_div(model_len_, settings.block_size)), 0);
  const model::Batch batch{.tokens = tokens,
                           .positions = places,
                           .slots = places,
                           .query_start = query_start,
                           .kv_len = kv_len,
                           .block_table = block_table,
                           .block_table_width = static_cast<int>(block_table.size()),
                           .logit_rows = last};
  ASSIGN_OR_RETURN(const tensor::Tensor logits, transformer_->forward(batch));
  const float* row = logits.f32();
  const bool finite = std::all_of(row, row + logits.shape.elements(), [](float v) { return std::isfinite(v); });
  return finite ? absl::OkStatus() : not_finite(settings);
}

// The weight at fault is looked for only now, so that a good model does not pay for it.
absl::Status House::not_finite(const Settings& settings) const {
  ASSIGN_OR_RETURN(const auto checkpoint, open_weights(settings, directory_, dtype_));
  ASSIGN_OR_RETURN(const std::string weight, model::first_non_finite(config_, *checkpoint, dtype_));
  return absl::DataLossError(absl::StrCat("the model's first forward pass gave numbers that are not finite: ",
                                          weight.empty() ? "every weight is, a sum of them is not" : weight));
}

void House::make_engine(const Settings& settings, base::MetricsRegistry& metrics) {
  engine::EngineOptions options;
  options.model_name = served_name(settings);
  options.block_size = settings.block_size;
  options.n_blocks = cache_->n_blocks();
  options.model_len_max = model_len_;
  options.step_tokens_max = step_tokens_;
  const int threads = settings.threads > 0 ? settings.threads : base::available_cores();
  const int mixed =
      backend_->memory_available() >= 0 ? kMixedPrefillTokensOnDevice : kMixedPrefillTokensPerThread * threads;
  options.mixed_prefill_tokens_max = settings.mixed_prefill_tokens < 0 ? mixed : settings.mixed_prefill_tokens;
  options.sequences_max = sequences_;
  options.waiting_max = settings.waiting;
  options.prefix_caching = settings.prefix_caching;
  options.priority_policy = settings.priority_policy;
  engine_ = std::make_unique<engine::Engine>(*transformer_, options, metrics);
}

}  // namespace polymath::commands
