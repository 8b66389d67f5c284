#pragma once

// Linear layers, by the variants of list.cpp. Plain and packed weights have families of their own.
//
// The input is rounded to bf16 or f16 (saturated) for such weights. f32 weights take it as it is, without TF32. Sums
// are f32.
//
// Thread safety: none.

#include <array>
#include <memory>

#include "backend/cuda/linear/lt_gemm.h"
#include "backend/cuda/views.h"
#include "backend/variant.h"

namespace polymath::backend::cuda {

// x is [n, groups * x_group_stride] or [n, w.cols]; every group g of w gives y[:, g * y_group_stride ..].
// More than one group: no epilogue.
struct Linear {
  Matrix x, y;
  WeightMatrix w;
  LinearEpilogue epilogue;
  int64_t x_group_stride = 0, y_group_stride = 0;
};

// Memory for inputs that change their type or alignment.
class AlignedInput {
 public:
  explicit AlignedInput(Device& device) : device_(device) {}
  absl::Status reserve(size_t bytes);
  // Where align() puts `x`: x itself where it has `type` and rows of whole 16-byte words, else this memory.
  Matrix place(const Matrix& x, Type type) const;
  // Converts where needed; the copy lasts until the next call. Columns are padded with zeros to whole words.
  Matrix align(const Matrix& x, Type type);
  // Rows as e4m3_rows() makes them. They last as long. REQUIRES: has_room().
  Matrix round(const Matrix& x);
  bool holds(const Matrix& x) const { return x.data == memory_.data(); }
  bool has_room(const Matrix& x) const { return static_cast<size_t>(x.rows * (x.cols + kTail)) <= memory_.bytes(); }

 private:
  static constexpr int64_t kTail = 16;  // bytes of a rounded row past its codes
  Device& device_;
  tensor::Buffer memory_;
};

// Memory for packed weights as bf16 ones.
class Unpacker {
 public:
  explicit Unpacker(Device& device) : device_(device) {}
  absl::Status reserve(size_t bytes);
  // Rows of a weight of one group that it has room for.
  int64_t rows_max(const WeightMatrix& w) const;
  // Rows [begin, begin + n) of each group. Lasts until the next call. REQUIRES: there is room.
  WeightMatrix rows(const WeightMatrix& w, int64_t begin, int64_t n);
  // The weight itself, if it is plain.
  WeightMatrix all(const WeightMatrix& w) { return is_packed(w) ? rows(w, 0, w.rows) : w; }

 private:
  Device& device_;
  tensor::Buffer memory_;
};

class LinearRunner;

// What the variants see.
struct LinearProblem {
  Linear linear;
  Matrix aligned;  // x in w's type, by AlignedInput::place()
  Device* device = nullptr;
  AlignedInput* input = nullptr;
  LtGemms* lt = nullptr;
  LinearRunner* runner = nullptr;
  mutable const LtAlgorithm* algorithm = nullptr;  // of "cublaslt": fits() finds it, run() uses it
};

class LinearRunner {
 public:
  // batch_invariant: by the tables that keep one order of sums for any number of rows.
  static absl::StatusOr<std::unique_ptr<LinearRunner>> create(Device& device, bool batch_invariant);

  // Scratch for inputs of up to `elements_max` f32 elements, and for packed weights.
  absl::Status reserve(int64_t elements_max, int64_t unpacked_bytes);
  // Bytes that it allocates.
  static size_t reserve_bytes(int64_t elements_max, int64_t unpacked_bytes) {
    return static_cast<size_t>(elements_max) * sizeof(float) + static_cast<size_t>(unpacked_bytes);
  }
  void run(const Linear& linear);
  // The input of other kernels' GEMMs; lasts until the next call of the runner.
  Matrix aligned(const Matrix& x, Type type) { return input_.align(x, type); }
  // The same as AlignedInput::round() makes it. Null data: it cannot.
  Matrix rounded(const Matrix& x) { return input_.has_room(x) && !input_.holds(x) ? input_.round(x) : Matrix{}; }
  LinearProblem problem_of(const Linear& linear);
  Unpacker& unpacker() { return unpacker_; }
  // Of a packed weight, of one with several groups, or of one.
  Variants<LinearProblem>& family(const WeightMatrix& w) {
    return is_packed(w) ? packed_ : w.groups > 1 ? batched_linear_ : linear_;
  }
  std::array<OpFamily*, 3> families() { return {&linear_, &batched_linear_, &packed_}; }
  // 10^9 operations a second of a large GEMM.
  double measure_gflops(Type type);

 private:
  LinearRunner(Device& device, std::unique_ptr<LtGemms> lt, bool batch_invariant);

  Device& device_;
  std::unique_ptr<LtGemms> lt_;
  AlignedInput input_;
  Unpacker unpacker_;
  Variants<LinearProblem> linear_, batched_linear_, packed_;
};

}  // namespace polymath::backend::cuda
