#pragma once

// The rooms below the API, put together from the settings: checkpoint, backend, weights, KV cache, engine. No server
// and no tokenizer: `serve`, `run` and `bench` add what they need.
//
//   ASSIGN_OR_RETURN(auto house, House::open(settings));   // config.json is read, memory is settled: a moment
//   RETURN_IF_ERROR(house->load(settings, registry));      // weights, KV cache, the first forward pass
//   house->engine().start();

#include <memory>
#include <string>

#include "backend/backend.h"
#include "base/metrics.h"
#include "base/status.h"
#include "commands/model_facts.h"
#include "commands/settings.h"
#include "engine/engine.h"
#include "kvcache/kv_cache.h"
#include "model/load.h"
#include "weights/model_files.h"

namespace polymath::commands {

class House {
 public:
  // kResourceExhausted: more memory than there is, with the sum and the flags that would make it fit.
  static absl::StatusOr<std::unique_ptr<House>> open(const Settings& settings);
  // The same without a look at memory, for who loads no weights.
  static absl::StatusOr<std::unique_ptr<House>> look(const Settings& settings);
  // REQUIRES: once, with the settings of open(). What is absent before: engine, transformer, KV blocks.
  absl::Status load(const Settings& settings, base::MetricsRegistry& metrics);

  engine::Engine& engine() { return *engine_; }
  model::Transformer& transformer() { return *transformer_; }
  backend::Backend& backend() const { return *backend_; }
  const model::ModelConfig& config() const { return config_; }
  const weights::ModelFiles& files() const { return *files_; }
  int model_len_max() const { return model_len_; }  // load() may lower it to what the KV cache holds
  int step_tokens_max() const { return step_tokens_; }
  tensor::DType weight_dtype() const { return dtype_; }
  int64_t kv_blocks() const { return cache_->n_blocks(); }

 private:
  House() = default;
  absl::Status settle_types(const Settings& settings);
  absl::Status settle_memory(const Settings& settings);
  absl::Status load_weights(const Settings& settings);
  absl::Status reserve_step(const Settings& settings);
  absl::Status make_cache(const Settings& settings);
  absl::Status warm_up(const Settings& settings);
  absl::Status not_finite(const Settings& settings) const;
  void make_engine(const Settings& settings, base::MetricsRegistry& metrics);

  std::unique_ptr<weights::ModelFiles> files_;
  model::ModelConfig config_;
  ModelFacts facts_;
  tensor::DType dtype_ = tensor::DType::kBf16, kv_dtype_ = tensor::DType::kBf16;
  int64_t kv_bytes_ = 0;
  int64_t held_back_ = 0;   // of a device's memory: what --gpu-memory-utilization leaves to others
  int64_t step_bytes_ = 0;  // of a device's memory: scratch of the largest step
  int model_len_ = 0;
  int step_tokens_ = 0;
  int sequences_ = 0;
  std::unique_ptr<backend::Backend> backend_;
  std::unique_ptr<weights::Checkpoint> checkpoint_;  // between open() and load(); null: it could not be opened
  std::unique_ptr<model::Transformer> transformer_;
  std::unique_ptr<kvcache::KvCache> cache_;
  std::unique_ptr<engine::Engine> engine_;
};

// The name that answers and metrics carry.
std::string served_name(const Settings& settings);

}  // namespace polymath::commands
