#pragma once

// What one rank of a model allocates, known before anything is loaded.
//
//   ASSIGN_OR_RETURN(const RankMemory memory, RankMemory::measure({config, checkpoint, options}, backend, rank));
//   memory.weights()                 // == Transformer::weight_bytes() after load_model()
//   memory.scratch(limits)           // == Transformer::scratch_bytes() after reserve(limits)
//   memory.kv_block(cache_options)   // == Transformer::kv_block_bytes()
//
// Sums count the bytes that Backend::allocated_bytes() counts.

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kvcache/cache_spec.h"
#include "model/loading/load.h"
#include "model/step_memory.h"

namespace polymath::model {

struct MemorySource {
  const ModelConfig& config;  // of the whole model
  const weights::Checkpoint& checkpoint;
  const LoadOptions& options;  // `group` and `progress` are not read
};

class RankMemory {
 public:
  // The layers of rank.stage. kInvalidArgument: the ranks do not divide the model, or an adapter cannot be read. The
  // backend outlives this.
  static absl::StatusOr<RankMemory> measure(const MemorySource& source, const backend::Backend& backend,
                                            parallel::Rank rank);
  // Matrices, vectors, rotary tables, expert counters and adapters.
  int64_t weights() const { return weights_; }
  int64_t n_weights() const { return n_weights_; }  // matrices: an allocator may round each up
  // Bytes and values of the matrices, by kept format and by use ("experts", "linear", "router", "embedding").
  struct Matrices {
    int64_t bytes = 0;            // with padding
    double bits = 0, values = 0;  // without
  };
  const std::map<std::string, Matrices>& by_format() const { return by_format_; }
  const std::map<std::string, Matrices>& by_use() const { return by_use_; }
  int64_t scratch(const backend::StepLimits& limits) const;
  int64_t kv_block(const CacheOptions& options) const;                             // all layers; n_blocks is not read
  int64_t state_slot() const;                                                      // all recurrent layers
  int64_t n_caches() const { return static_cast<int64_t>(local_.layers.size()); }  // buffers of the cache
  // An estimate: the driver decides what a CUDA graph takes.
  int64_t graphs(const backend::StepLimits& limits, const LoadOptions& options) const;

 private:
  RankMemory(ModelConfig local, const backend::Backend& backend, parallel::Rank rank)
      : local_(std::move(local)), backend_(&backend), rank_(rank) {}
  void add_slots(const MemorySource& source);

  ModelConfig local_;
  const backend::Backend* backend_;
  parallel::Rank rank_;
  int64_t weights_ = 0, n_weights_ = 0;
  std::map<std::string, Matrices> by_format_, by_use_;
  layers::AdapterLimits adapters_;
  absl::flat_hash_map<std::string, tensor::DType> expert_types_;  // by slot
  int64_t packed_linear_max_ = 0;
};

// Rows of the largest CUDA graph; 0: no step of this model is captured. Routing that looks at the whole step goes
// through the host, which a graph cannot.
int graph_rows_max(const ModelConfig& config, const LoadOptions& options, const backend::Backend& backend,
                   const backend::StepLimits& limits);

// One a layer.
std::vector<kvcache::CacheSpec> cache_specs(const ModelConfig& config, const CacheOptions& options);

}  // namespace polymath::model
