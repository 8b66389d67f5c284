#pragma once

// From a model on disk to a Model that is ready to run.
//
//   ASSIGN_OR_RETURN(ModelConfig config, read_config(*files));
//   ASSIGN_OR_RETURN(auto transformer, load_model(config, *checkpoint, *backend, options));
//   ASSIGN_OR_RETURN(auto cache, kvcache::KvCache::create(*backend, transformer->kv_shapes(16, dtype), n_blocks));
//   RETURN_IF_ERROR(transformer->reserve(limits));             // scratch for the largest step
//   RETURN_IF_ERROR(transformer->attach(*cache));              // then forward() may run
//
// Every weight is taken from the checkpoint one at a time, packed by the backend, and let go.
// Slots never filled and names never used are both errors, listed together, by name.

#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "base/json.h"
#include "kvcache/kv_cache.h"
#include "model/config.h"
#include "model/model.h"
#include "weights/checkpoint.h"
#include "weights/model_files.h"

namespace polymath::model {

// config() and generation_config() of a model on disk. kInvalidArgument: a field is missing, of a wrong type or
// absurd (named); kUnimplemented: an architecture that is not known (the sentence lists what is).
absl::StatusOr<ModelConfig> read_config(const weights::ModelFiles& files);
absl::StatusOr<ModelConfig> parse_config(const base::JsonValue& config);
// Names of every architecture, in the order of model/arch/list.cpp.
std::vector<std::string> architecture_names();

struct LoadOptions {
  tensor::DType dtype = tensor::DType::kBf16;  // of plain weights (f32, f16, bf16); Backend::kept_format decides
  int model_len = 0;                           // positions to make rotary tables for; 0: the model's positions_max
  bool capture_graphs = true;  // steps of one token a sequence are recorded by attach(), where the backend can
  // Called after each tensor with the values (numbers) done and in all. May be empty.
  std::function<void(size_t done, size_t total)> progress;
};

class Transformer : public Model {
 public:
  // Shapes of the KV cache's layers; n_blocks is left to KvCache.
  virtual std::vector<backend::KvShape> kv_shapes(int block_size, tensor::DType dtype) const = 0;
  // Memory for the largest step. REQUIRES: once, before attach. kResourceExhausted with a sum.
  virtual absl::Status reserve(const backend::StepLimits& limits) = 0;
  // REQUIRES: once, before forward. `cache` must outlive the model.
  virtual absl::Status attach(const kvcache::KvCache& cache) = 0;
  virtual const ModelConfig& config() const = 0;
  virtual size_t weight_bytes() const = 0;  // in memory, padding counted in
  virtual size_t graph_bytes() const = 0;   // of the steps that attach() recorded
  // What the last forward() had to do at least; for rooflines. Experts are counted as they were touched since the last
  // call of this, so that it wants to be called after each step.
  struct StepCost {
    double weight_bytes = 0;  // read once each
    double kv_bytes = 0;      // keys and values in the context, read once each
    double flops = 0;         // multiply-adds times two
  };
  virtual StepCost last_step_cost() = 0;
};

// What load_model() allocates for weights, as Backend::weight_bytes has it, before any is read.
int64_t bytes_to_load(const ModelConfig& config, const weights::Checkpoint& checkpoint, const backend::Backend& backend,
                      tensor::DType dtype);

// kInvalidArgument: names missing or unused, or a wrong shape. kResourceExhausted: no memory.
absl::StatusOr<std::unique_ptr<Transformer>> load_model(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                        backend::Backend& backend, const LoadOptions& options);

}  // namespace polymath::model
