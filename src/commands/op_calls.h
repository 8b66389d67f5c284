#pragma once

// A model's ops as calls without memory, to ask a backend which kernels would run: for `polymath kernels` and
// --require-fused.

#include <string>
#include <vector>

#include "commands/runtime.h"

namespace polymath::commands {

struct CallTypes {
  tensor::DType weights = tensor::DType::kBf16, router = tensor::DType::kF32;
  backend::KvType kv{tensor::DType::kBf16, {}};
  int block_size = 16;
  const quant::QuantFormat* packed = nullptr;  // of linear layers and experts; null: plain weights
};
CallTypes call_types(const Runtime& runtime);

// One step: every sequence has `queries` new tokens and a context of that many keys with them.
struct StepShape {
  int n_seqs = 1, queries = 1, context = 1;
  int64_t tokens() const { return int64_t{n_seqs} * queries; }
};
std::string step_text(const StepShape& step);  // "decode of 16", "prefill of 512"

// Makes the calls of one step.
class CallMaker {
 public:
  CallMaker(const CallTypes& types, const StepShape& step) : types_(types), step_(step) {}
  backend::OpCall linear(const quant::WeightShape& weight, bool accumulate) const;
  // Over the cache alone.
  backend::OpCall attention(const backend::AttentionParams& params, backend::KvShape kv) const;
  backend::OpCall route(const layers::FfnConfig& ffn, int64_t hidden) const;
  backend::OpCall experts(const layers::FfnConfig& ffn, int64_t hidden) const;

 private:
  friend class CallList;
  backend::OpCall call(std::string_view op) const;
  backend::ExpertShape expert_shape(const layers::FfnConfig& ffn, int64_t hidden) const;
  bool fits_blocks(int64_t cols) const;  // of the packed format

  const CallTypes types_;
  const StepShape step_;
};

struct NamedCall {
  std::string what;  // "qkv 5120 x 2048"
  backend::OpCall call;
};
// Every different call of a step, in the order in which a step makes them.
std::vector<NamedCall> op_calls(const model::ModelConfig& config, const CallTypes& types, const StepShape& step);

// kFailedPrecondition: names the ops of one sequence's decode step that would run on their default composition.
absl::Status require_fused(const Runtime& runtime);

}  // namespace polymath::commands
