#include "tensor/tensor.h"

#include <sys/mman.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/process/numa_nodes.h"

namespace polymath::tensor {
namespace {

struct DTypeRow {
  std::string_view name;
  size_t bytes;
};
constexpr DTypeRow kDTypes[] = {{"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"int32", 4},
                                {"int64", 8},   {"uint8", 1},   {"float64", 8}};
static_assert(std::size(kDTypes) == static_cast<size_t>(DType::kCount));

constexpr size_t kHugePage = 2u << 20;

}  // namespace

size_t dtype_bytes(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].bytes; }
std::string_view dtype_name(DType dtype) {
  return dtype == DType::kCount ? "other" : kDTypes[static_cast<size_t>(dtype)].name;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "half") return DType::kF16;
  if (name == "float") return DType::kF32;
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (kDTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int i = 0; i < rank_; ++i) {
    if (dims_[i] != other.dims_[i]) return false;
  }
  return true;
}

std::string Shape::text() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) absl::StrAppend(&out, i == 0 ? "" : ", ", dims_[i]);
  return out + "]";
}

Tensor Tensor::slice_rows(int64_t begin, int64_t n) const {
  CHECK(begin >= 0 && n >= 0 && begin + n <= shape[0]);
  Tensor out = *this;
  out.shape = Shape{};
  out.shape.push_back(n);
  int64_t row = 1;
  for (int i = 1; i < shape.rank(); ++i) {
    out.shape.push_back(shape[i]);
    row *= shape[i];
  }
  row += row_gap;
  out.data = static_cast<std::byte*>(data) + static_cast<size_t>(begin * row) * dtype_bytes(dtype);
  return out;
}

Tensor Tensor::slice_cols(int64_t begin, int64_t n) const {
  CHECK(shape.rank() == 2 && begin >= 0 && n >= 0 && begin + n <= cols());
  Tensor out = *this;
  out.shape = {shape[0], n};
  out.row_gap = stride() - n;
  out.data = static_cast<std::byte*>(data) + static_cast<size_t>(begin) * dtype_bytes(dtype);
  return out;
}

Tensor Tensor::reshape(const Shape& s) const {
  CHECK(s.elements() == shape.elements() && row_gap == 0);
  return {dtype, s, data};
}

absl::StatusOr<Buffer> Buffer::host(size_t bytes) {
  const auto refused = [bytes] {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes"));
  };
  if (bytes > SIZE_MAX - 4 * kHugePage) return refused();  // the sums below would wrap around
  const size_t rounded = (bytes + 63) / 64 * 64 + 64;      // a vector load at the end may look past it
  const bool huge = rounded >= kHugePage;
  const size_t mapped = huge ? (rounded + 2 * kHugePage - 1) / kHugePage * kHugePage : rounded;
  void* raw = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return refused();
  if (!huge) return Buffer(raw, rounded, [](void* data, size_t n) { munmap(data, n); });
  // Keep the aligned part only, so that every page of it can be a huge one.
  auto* begin = static_cast<std::byte*>(raw);
  auto* aligned =
      reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) / kHugePage * kHugePage);
  const size_t head = static_cast<size_t>(aligned - begin);
  const size_t kept = (mapped - head) / kHugePage * kHugePage;
  if (head > 0) munmap(begin, head);
  if (mapped > head + kept) munmap(aligned + kept, mapped - head - kept);
  madvise(aligned, kept, MADV_HUGEPAGE);
  const std::vector<int>& nodes = base::own_numa_nodes();
  if (nodes.size() > 1) base::spread_over_nodes(nodes, aligned, kept);  // refused: the pages lie where they are touched
  return Buffer(aligned, kept, [](void* data, size_t n) { munmap(data, n); });
}

float bf16_to_f32(uint16_t v) { return std::bit_cast<float>(static_cast<uint32_t>(v) << 16); }

uint16_t f32_to_bf16(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  if (std::isnan(v)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float f16_to_f32(uint16_t v) {
  const uint32_t sign = static_cast<uint32_t>(v & 0x8000) << 16;
  const uint32_t exponent = (v >> 10) & 0x1f;
  const uint32_t fraction = v & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

uint16_t f32_to_f16(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds past 65504
  if (magnitude < 0x38800000) {                       // subnormal: units of 2^-24
    return sign | static_cast<uint16_t>(std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24)));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>((rounded - 0x38000000) >> 13);
}

}  // namespace polymath::tensor
