// Weights made on request, so that a model of any size runs without a file.
//
// Element i of a tensor is a function of (seed, name, i), defined in quant/generated.h. Word i / 4 of a counter-based
// generator gives four elements, 12 bits each. Each indexes a table of the normal distribution's quantiles. So a value
// needs no neighbour, and no logarithm, root or cosine. The cost: 4096 distinct values a tensor, none beyond 3.7
// standard deviations.

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"
#include "quant/format.h"
#include "weights/checkpoint.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

using quant::kElementsPerWord;
using quant::kLaneBits;
using quant::kQuantileBits;
using quant::kQuantiles;
using quant::mix_word;

constexpr float kBiasScale = 0.1f;  // of `scale`: biases are small beside weights

uint64_t key_of(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix_word(hash + mix_word(seed + quant::kWeyl));
}

// Quantiles of the normal distribution at the middles of 4096 equal parts. They are symmetric and have variance 1.
// Rounding to multiples of 2^-12 hides differences between machines' erfc().
std::array<float, kQuantiles> make_quantiles() {
  std::array<double, kQuantiles> exact{};
  double sum_of_squares = 0;
  for (size_t i = 0; i < kQuantiles / 2; ++i) {
    const double p = (static_cast<double>(i) + 0.5) / kQuantiles;
    double low = 0, high = 8;
    for (int step = 0; step < 50; ++step) {
      const double x = (low + high) / 2;
      (0.5 * std::erfc(x / std::sqrt(2.0)) > p ? low : high) = x;
    }
    exact[i] = -low;
    exact[kQuantiles - 1 - i] = low;
    sum_of_squares += 2 * low * low;
  }
  const double to_unit = std::sqrt(kQuantiles / sum_of_squares);
  std::array<float, kQuantiles> out{};
  for (size_t i = 0; i < kQuantiles; ++i) out[i] = static_cast<float>(std::round(exact[i] * to_unit * 4096) / 4096);
  return out;
}

const std::array<float, kQuantiles>& quantiles() {
  static const std::array<float, kQuantiles> table = make_quantiles();
  return table;
}

// `table` has the quantiles as they are stored.
template <typename Stored>
void fill_normal(uint64_t key, const std::array<Stored, kQuantiles>& table, Stored* out, int64_t n) {
  constexpr int kDrop = kLaneBits - kQuantileBits;
  constexpr uint64_t kMask = kQuantiles - 1;
  uint64_t counter = key;
  const int64_t whole = n / kElementsPerWord * kElementsPerWord;
  for (int64_t i = 0; i < whole; i += kElementsPerWord) {
    const uint64_t word = mix_word(counter += quant::kWeyl);
    out[i] = table[(word >> kDrop) & kMask];
    out[i + 1] = table[(word >> (kDrop + kLaneBits)) & kMask];
    out[i + 2] = table[(word >> (kDrop + 2 * kLaneBits)) & kMask];
    out[i + 3] = table[(word >> (kDrop + 3 * kLaneBits)) & kMask];
  }
  const uint64_t word = mix_word(counter + quant::kWeyl);
  for (int64_t i = whole; i < n; ++i) out[i] = table[(word >> (kDrop + (i - whole) * kLaneBits)) & kMask];
}

template <typename Stored, Stored (*Store)(float)>
void fill(uint64_t key, bool ones, float scale, const tensor::Tensor& out) {
  const int64_t n = out.shape.elements();
  if (ones) {
    std::fill_n(out.as<Stored>(), n, Store(1));
    return;
  }
  std::array<Stored, kQuantiles> table;
  for (size_t i = 0; i < kQuantiles; ++i) table[i] = Store(quantiles()[i] * scale);
  fill_normal(key, table, out.as<Stored>(), n);
}

float same(float v) { return v; }

bool is_norm(std::string_view name) {
  const size_t norm = name.rfind("norm");
  return norm != name.npos && name.substr(norm).ends_with("weight");
}

class DummyCheckpoint final : public Checkpoint {
 public:
  DummyCheckpoint(uint64_t seed, tensor::DType dtype, float scale) : seed_(seed), dtype_(dtype), scale_(scale) {}

  std::span<const TensorInfo> tensors() const override { return {}; }
  bool has(std::string_view) const override { return true; }
  absl::StatusOr<RawTensor> read(std::string_view name, const tensor::Shape& expected) override;
  void prefetch(std::string_view) override {}
  void release(std::string_view name) override;
  std::optional<quant::Generator> generator(std::string_view name) const override {
    return quant::Generator{key_of(seed_, name), quantiles().data(), scale_, &quant::plain_format(dtype_)};
  }

 private:
  struct Made {
    tensor::Shape shape;
    tensor::Buffer memory;
  };
  absl::StatusOr<tensor::Buffer> make(std::string_view name, const tensor::Shape& shape) const;
  RawTensor raw_of(const Made& made) const {
    return {dtype_, made.shape, static_cast<const std::byte*>(made.memory.data()), &quant::plain_format(dtype_)};
  }

  const uint64_t seed_;
  const tensor::DType dtype_;
  const float scale_;
  std::mutex mutex_;
  std::map<std::string, Made, std::less<>> made_;  // guarded by mutex_
};

absl::StatusOr<tensor::Buffer> DummyCheckpoint::make(std::string_view name, const tensor::Shape& shape) const {
  uint64_t bytes = tensor::dtype_bytes(dtype_);
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(shape[i]), &bytes)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", shown_name(name), ": no shape: ", shape.text()));
    }
  }
  ASSIGN_OR_RETURN(tensor::Buffer memory, tensor::Buffer::host(bytes));
  const tensor::Tensor out{dtype_, shape, memory.data()};
  const bool vector = shape.rank() <= 1;
  const float scale = vector ? scale_ * kBiasScale : scale_;
  const bool ones = vector && is_norm(name);
  const uint64_t key = key_of(seed_, name);
  if (dtype_ == tensor::DType::kF32) {
    fill<float, same>(key, ones, scale, out);
  } else if (dtype_ == tensor::DType::kBf16) {
    fill<uint16_t, tensor::f32_to_bf16>(key, ones, scale, out);
  } else {
    fill<uint16_t, tensor::f32_to_f16>(key, ones, scale, out);
  }
  return memory;
}

absl::StatusOr<RawTensor> DummyCheckpoint::read(std::string_view name, const tensor::Shape& expected) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = made_.find(name); at != made_.end() && at->second.shape == expected) {
      return raw_of(at->second);
    }
  }
  // Outside the lock: threads make tensors at once.
  ASSIGN_OR_RETURN(tensor::Buffer memory, make(name, expected));
  const std::lock_guard lock(mutex_);
  const auto [at, added] = made_.try_emplace(std::string(name), Made{expected, std::move(memory)});
  if (!added && !(at->second.shape == expected)) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", shown_name(name), " is in use with shape ",
                                                   at->second.shape.text(), "; ", expected.text(), " is asked for"));
  }
  return raw_of(at->second);
}

void DummyCheckpoint::release(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto at = made_.find(name); at != made_.end()) made_.erase(at);
}

}  // namespace

std::unique_ptr<Checkpoint> dummy_checkpoint(uint64_t seed, tensor::DType dtype, float scale) {
  CHECK(dtype == tensor::DType::kF32 || dtype == tensor::DType::kF16 || dtype == tensor::DType::kBf16);
  return std::make_unique<DummyCheckpoint>(seed, dtype, scale);
}

}  // namespace polymath::weights
