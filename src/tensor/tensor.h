#pragma once

// Typed arrays: element type, shape, view (Tensor) and owner (Buffer).

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace polymath::tensor {

enum class DType : uint8_t { kF32, kF16, kBf16, kI32, kI64, kU8, kF64, kCount };

size_t dtype_bytes(DType dtype);
std::string_view dtype_name(
    DType dtype);  // "float32", "float16", "bfloat16", "int32", "int64", "uint8", "float64"; kCount: "other"
std::optional<DType> dtype_from_name(std::string_view name);  // the names above, and "half", "float", "torch.bfloat16"

// Up to kRankMax dimensions, outermost first. Rank 0 is a scalar.
class Shape {
 public:
  static constexpr int kRankMax = 8;  // a deeper tensor in a file is refused by weights/

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CHECK(dims.size() <= kRankMax);
    for (const int64_t d : dims) dims_[rank_++] = d;
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  void push_back(int64_t d) {
    CHECK(rank_ < kRankMax);
    dims_[rank_++] = d;
  }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  bool operator==(const Shape& other) const;
  std::string text() const;  // "[64, 128]"

 private:
  std::array<int64_t, kRankMax> dims_{};
  int rank_ = 0;
};

// A typed, shaped, row-major view; it owns no memory. Copying copies the view.
// A matrix may have gaps between its rows (a slice of columns). Everything else is contiguous.
struct Tensor {
  DType dtype = DType::kF32;
  Shape shape;
  void* data = nullptr;
  int64_t row_gap = 0;  // elements between the end of a row and the next; matrices only

  int64_t rows() const { return shape[0]; }  // of a matrix
  int64_t cols() const {                     // all dimensions but the first; 1 of a vector
    int64_t n = 1;
    for (int i = 1; i < shape.rank(); ++i) n *= shape[i];
    return n;
  }
  int64_t stride() const { return cols() + row_gap; }  // elements from one row to the next
  bool empty() const { return data == nullptr; }
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * dtype_bytes(dtype); }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  float* f32() const { return CHECK(dtype == DType::kF32), as<float>(); }
  int32_t* i32() const { return CHECK(dtype == DType::kI32), as<int32_t>(); }
  uint16_t* u16() const { return CHECK(dtype == DType::kBf16 || dtype == DType::kF16), as<uint16_t>(); }

  // Rows [begin, begin + n) of the outermost dimension.
  Tensor slice_rows(int64_t begin, int64_t n) const;
  // Columns [begin, begin + n) of a matrix.
  Tensor slice_cols(int64_t begin, int64_t n) const;
  // The same elements under another shape. REQUIRES: as many elements, no gaps.
  Tensor reshape(const Shape& s) const;
};

// Owns memory on one device. Host memory here; a backend derives its own from the deleter.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, void (*deleter)(void* data, size_t bytes))
      : data_(data), bytes_(bytes), deleter_(deleter) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));  // frees the old memory now, not when `other` ends
    swap(taken);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) deleter_(data_, bytes_);
  }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }  // at least what was asked for

  // Zeroed, aligned to 64 bytes; to 2 MiB, with huge pages asked for, from 2 MiB on.
  // kResourceExhausted: the system has no more.
  static absl::StatusOr<Buffer> host(size_t bytes);

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(deleter_, other.deleter_);
  }
  void* data_ = nullptr;
  size_t bytes_ = 0;
  void (*deleter_)(void*, size_t) = nullptr;
};

// Scalar conversions; round to nearest even, NaN stays NaN.
float bf16_to_f32(uint16_t v);
uint16_t f32_to_bf16(float v);
float f16_to_f32(uint16_t v);
uint16_t f32_to_f16(float v);

}  // namespace polymath::tensor
