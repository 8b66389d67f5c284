#pragma once

// Every layer's arguments in one step: backend, token layout, memory between ops.
//
// Thread safety: none; a step belongs to the thread that drives its backend.

#include <array>
#include <vector>

#include "backend/backend.h"
#include "parallel/communicator.h"

namespace polymath::layers {

// Memory between the ops of a layer, shared by all layers. A layer asks for its sizes once, in reserve().
class Scratch {
 public:
  static constexpr int kPartsMax = 6;  // tensors that a layer may need at once

  // Elements of f32 for each token of a step.
  using Widths = std::array<int64_t, kPartsMax>;

  static absl::StatusOr<Scratch> create(backend::Backend& backend, const Widths& widths, int64_t tokens_max);
  // Bytes that create() allocates.
  static size_t bytes(const Widths& widths, int64_t tokens_max);
  // A part as a matrix. REQUIRES: no wider than was asked for.
  backend::Tensor matrix(int part, backend::DType dtype, int64_t rows, int64_t cols) const;

 private:
  std::array<backend::Buffer, kPartsMax> parts_;
};

// What one layer needs, or the maximum over layers: limits and scratch.
struct StepNeeds {
  backend::StepLimits limits;
  Scratch::Widths scratch{};

  void at_least(int part, int64_t width) {
    int64_t& w = scratch[static_cast<size_t>(part)];
    w = width > w ? width : w;
  }
};

class AdapterStep;  // layers/adapters.h

struct StepContext {
  backend::Backend& backend;
  parallel::Communicator& group;  // of the ranks that share every layer
  const backend::StepLayout& layout;
  const Scratch& scratch;
  backend::DType act;                     // of what enters a linear
  const float* query_factors = nullptr;   // [n_tokens] (Llama 4), or null
  const backend::KvLayer* kv = nullptr;   // this layer's cache, if it has keys and values
  void* states = nullptr;                 // this layer's state slots, if it is recurrent
  backend::Tensor state_slots = {};       // [n_seqs] i32: each sequence's slot; empty: no recurrent layer
  const AdapterStep* adapters = nullptr;  // null: no sequence of this step has an adapter
};

}  // namespace polymath::layers
