#pragma once

// Groups of gated networks with 2-byte weights: which kernels run them, by their number and the step's.
//
//   a group of one:  two linears
//   one token:       its experts in two launches, nothing gathered or summed apart (bf16)
//   else:            tokens sorted by expert, the two products, the sums
//
// Thread safety: none.

#include "backend/cuda/linear.h"
#include "backend/cuda/views.h"

namespace polymath::backend::cuda {

class ExpertRunner {
 public:
  ExpertRunner(Device& device, LinearRunner& linear) : device_(device), linear_(linear) {}

  // Whether run() is for networks with such a gate and up.
  static bool takes(const WeightShape& gate_up, DType dtype) {
    if (dtype == DType::kBf16) return true;
    return dtype == DType::kF16 && gate_up.rows % 16 == 0 && gate_up.cols % 8 == 0;  // experts_tensor's alone
  }
  // A gate and up that run() will be called with; before reserve().
  void expect(const WeightShape& gate_up) {
    if (gate_up.groups == 1) dense_inner_max_ = std::max(dense_inner_max_, gate_up.rows / 2);
  }
  absl::Status reserve(const StepLimits& limits);
  // As Backend::expert_mlp.
  void run(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const ExpertGroups& groups,
           const Tensor& out);

 private:
  // False: not for this network, nothing was done.
  bool run_dense(const ExpertMlp& mlp, const Tensor& x, const float* weights, const Tensor& out);
  bool run_single(const ExpertMlp& mlp, const Tensor& x, const Routing& routing, const Tensor& out);
  void run_sorted(int64_t n, ExpertProduct first, const ExpertProduct& second);

  Device& device_;
  LinearRunner& linear_;
  int64_t dense_inner_max_ = 0, pairs_max_ = 0;
  // Of the largest step: the inner numbers, the outputs, a dense network's gate and up, every pair's inputs by expert.
  tensor::Buffer inner_, outputs_, gate_up_, sorted_;
};

}  // namespace polymath::backend::cuda
