#pragma once

// Memory of the largest step: one set of sizes, read by TransformerModel::reserve() and by a memory plan.

#include "absl/functional/function_ref.h"
#include "backend/buffer_sizes.h"
#include "layers/adapters.h"
#include "layers/step_context.h"
#include "model/config.h"

namespace polymath::model {

// Tensors of one step beside the layers' own.
struct Activations {
  tensor::Buffer h, branch, gathered, x, logits, local_logits, gathered_tokens, sampled;
};

struct StepMemory {
  backend::StepLimits limits;  // with every field that a backend reads
  layers::Scratch::Widths scratch{};
  int64_t router_width = 1;  // router logits of a token
  int64_t head_rows = 0;     // of this rank's part of lm_head; 0: another stage has the head
  // Steps whose logits have a place of their own: those in host memory are read there, while later steps run.
  int result_sets = 1;
};

// How a backend keeps weights, and where.
struct KeptTypes {
  absl::FunctionRef<tensor::DType(size_t layer, size_t block)> experts;  // ExpertShape::dtype
  int64_t packed_linear_max = 0;                                         // as StepLimits
  bool on_host = false;
};
// ExpertShape::dtype of networks whose matrices have these types.
inline tensor::DType expert_type(tensor::DType gate_up, tensor::DType down) {
  return down == tensor::DType::kU8 ? down : gate_up;
}
// What a weight adds to packed_linear_max, as a candidate.
inline int64_t packed_linear_values(quant::WeightUse use, const quant::WeightShape& shape,
                                    const quant::QuantFormat& format) {
  const bool linear = use == quant::WeightUse::kLinear || use == quant::WeightUse::kHeads;
  return linear && !format.plain() ? shape.groups * shape.rows * shape.cols : 0;
}

// `config`: of this rank (local_config).
StepMemory step_memory(const ModelConfig& config, parallel::Rank rank, const backend::StepLimits& given,
                       const KeptTypes& kept);

std::vector<backend::BufferSize<Activations>> activation_sizes(const ModelConfig& config, const StepMemory& step);

// What reserve() allocates, the backend's part included. adapters.n_adapters 0: none.
size_t step_bytes(const ModelConfig& config, const StepMemory& step, const layers::AdapterLimits& adapters,
                  const backend::Backend& backend);

}  // namespace polymath::model
