#pragma once

// Low-rank adapters (LoRA, arXiv:2106.09685), several in one batch. An adapter is an expert with weight 1, so the
// experts' ops compute it.
//
//   y += x A^T B^T    for the rows whose sequence has an adapter; alpha / r is a factor of B

#include <vector>

#include "backend/buffer_sizes.h"

namespace polymath::layers {

// All adapters' weights of one linear. Empty: no adapter changes it.
struct AdapterWeights {
  quant::Weight a;  // [adapters, rank, cols]
  quant::Weight b;  // [adapters, rows, rank]
  bool empty() const { return a.empty(); }
};

struct AdapterLimits {
  int n_adapters = 0;
  int64_t rank_max = 0;  // of a linear: the sum of what is joined in it (q, k, v)
  int64_t rows_max = 0;  // of a linear; the scratch is sized by it
};

// One step's tokens by adapter, and memory for the low-rank outputs.
class AdapterStep {
 public:
  static absl::StatusOr<AdapterStep> create(backend::Backend& backend, const AdapterLimits& limits, int64_t tokens_max);
  // Bytes that create() allocates.
  static size_t bytes(const AdapterLimits& limits, int64_t tokens_max);
  // ids [n] i32: each token's adapter, -1: none.
  void group(backend::Backend& backend, const backend::Tensor& ids);
  // y [n, rows] f32 += scale * x A^T B^T. x [n, cols] act.
  void add(backend::Backend& backend, const AdapterWeights& weights, const backend::Tensor& x, float scale,
           const backend::Tensor& y) const;

 private:
  static std::vector<backend::BufferSize<AdapterStep>> sizes(const AdapterLimits& limits, int64_t tokens_max);

  AdapterLimits limits_;
  backend::Buffer ones_, offsets_, pairs_, low_, high_;
  backend::Routing routing_;
  backend::ExpertGroups groups_;
};

}  // namespace polymath::layers
