#pragma once

// Groups of gated networks with 2-byte weights: which kernels run them, by their number and the step's.
//
//   a group of one:             two linears
//   one token:                  its experts in one launch, nothing gathered or summed apart (bf16)
//   few tokens for an expert:   tokens sorted by expert, both products, the sums
//   many:                       tokens sorted by expert, the two products one after the other, the sums
//
// A shared network joins one token's experts and those of few tokens.
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
    return dtype == DType::kF16 && gate_up.rows % 16 == 0 && gate_up.cols % 8 == 0;  // experts_tensor_takes()
  }
  // A gate and up that run() will be called with; before reserve().
  void expect(const WeightShape& gate_up) {
    if (gate_up.groups == 1) dense_inner_max_ = std::max(dense_inner_max_, gate_up.rows / 2);
  }
  absl::Status reserve(const StepLimits& limits);
  // As Backend::expert_mlp.
  void run(const ExpertVisit& visit, const Tensor& x, const Tensor& out);
  // As Backend::expert_mlp_with_shared, in the same launches. False: not for these, nothing was done.
  bool run_joined(const ExpertVisit& group, const ExpertVisit& shared, const Tensor& x, const Tensor& out);

 private:
  struct Products {
    ExpertProduct first, second;
  };
  Products products_of(const ExpertVisit& visit, const Matrix& x, const tensor::Buffer& intermediate,
                       const tensor::Buffer& outputs, int64_t parts) const;
  void check(const ExpertVisit& visit, const Tensor& x, const Tensor& out) const;
  // False: not for this network, nothing was done.
  bool run_dense(const ExpertVisit& visit, const Tensor& x, const Tensor& out);
  bool run_single(const ExpertVisit& visit, const ExpertVisit* shared, const Tensor& x, const Tensor& out);
  bool run_few(const ExpertVisit& visit, const ExpertVisit* shared, const Tensor& x, const Tensor& out);
  void run_many(const ExpertVisit& visit, const Tensor& x, const Tensor& out);
  void sort_inputs(ExpertProduct& first);

  Device& device_;
  LinearRunner& linear_;
  int64_t dense_inner_max_ = 0, pairs_max_ = 0;
  // Of the largest step: the intermediate numbers, the outputs, a dense network's gate and up, every pair's inputs by
  // expert.
  tensor::Buffer intermediate_, outputs_, gate_up_, sorted_;
  tensor::Buffer shared_intermediate_, shared_outputs_;  // of a shared network that joins
  tensor::Buffer counters_;                              // zeros between the runs
};

}  // namespace polymath::backend::cuda
