#pragma once

// Groups of gated networks with 2-byte weights, by the variants of list.cpp.
//
// Thread safety: none.

#include <array>
#include <span>

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/linear/runner.h"
#include "backend/cuda/views.h"

namespace polymath::backend::cuda {

class ExpertRunner;

// What the variants see.
struct ExpertCall {
  const ExpertVisit* group = nullptr;
  const ExpertVisit* shared = nullptr;  // every token's; null: none
  const Tensor *x = nullptr, *out = nullptr;
  ExpertRunner* runner = nullptr;
};

struct ExpertVariant;

// Bytes of each buffer, for the largest step.
struct ExpertScratch {
  int64_t intermediate = 0, outputs = 0;
  int64_t gate_up = 0;  // both halves of a dense network, before the GLU
  int64_t sorted = 0;   // every pair's input, by expert
  int64_t shared_intermediate = 0, shared_outputs = 0;

  // Grows to what every variant of the table asks for.
  void cover(std::span<const ExpertVariant> table, const ExpertShape& shape);
};

struct ExpertVariant : Variant<ExpertCall> {
  // What the largest step takes; null: nothing.
  ExpertScratch (*scratch)(const ExpertShape& shape) = nullptr;
};

class ExpertRunner {
 public:
  // batch_invariant: by the tables whose variants add in one order and round alike.
  ExpertRunner(Device& device, LinearRunner& linear, bool batch_invariant);

  // Some variant of ours is for weights of this width and type; else the default composition is.
  static bool takes(int64_t hidden, int64_t intermediate, DType dtype);
  // Asks every variant for the scratch of every shape in limits.experts.
  absl::Status reserve(const StepLimits& limits);
  // Bytes that it allocates.
  size_t reserve_bytes(const StepLimits& limits) const;
  // As Backend::expert_mlp and expert_mlp_with_shared. False: the default composition is to run.
  bool run(const ExpertCall& call);
  ExpertCall call_of(const ExpertVisit& group, const ExpertVisit* shared, const Tensor& x, const Tensor& out) {
    return {&group, shared, &x, &out, this};
  }
  // Packed: one of the weights is.
  Variants<ExpertCall, ExpertVariant>& family(bool shared, bool packed) {
    return packed ? (shared ? packed_with_shared_ : packed_) : shared ? with_shared_ : expert_mlp_;
  }
  Variants<ExpertCall, ExpertVariant>& family(const ExpertCall& call);
  std::array<OpFamily*, 4> families() { return {&expert_mlp_, &with_shared_, &packed_, &packed_with_shared_}; }

  // --- for the variants ---
  void run_dense(const ExpertCall& call, bool gated_gemv);
  MoeDecode1 decode_problem(const ExpertCall& call) const;
  void run_decode_1(const ExpertCall& call);
  void run_fused_small_m(const ExpertCall& call);
  // kPackedSm90: packed weights stay so, others are unpacked. kE4m3: so too, and both GEMMs' inputs are rounded.
  // Small: one of the unaligned kernels is the small one.
  enum class Grouped { kSm90, kPackedSm90, kE4m3, kUnalignedSmall, kUnalignedLarge, kCount };
  void run_grouped(const ExpertCall& call, Grouped kernel);
  bool can_unpack(const ExpertMlp& mlp) const;
  int n_multiprocessors() const { return device_.n_multiprocessors(); }

 private:
  struct Gemms {
    ExpertGemm first, second;
  };
  static constexpr size_t kBuffers = 7;
  // Bytes of each buffer, in the order of reserve().
  std::array<int64_t, kBuffers> sizes(const StepLimits& limits) const;
  Gemms gemms_of(const ExpertVisit& visit, const Matrix& x, bool shared, int64_t parts) const;
  void check(const ExpertVisit& visit, const ExpertCall& call) const;
  void sort_inputs(ExpertGemm& first, bool rounded);  // rounded: by e4m3_rows()

  Device& device_;
  LinearRunner& linear_;
  const bool batch_invariant_;
  Variants<ExpertCall, ExpertVariant> expert_mlp_, with_shared_, packed_, packed_with_shared_;
  int64_t pairs_max_ = 0;
  tensor::Buffer intermediate_, outputs_, gate_up_, sorted_, shared_intermediate_, shared_outputs_;
  tensor::Buffer counters_;  // zeros between the runs
};

}  // namespace polymath::backend::cuda
