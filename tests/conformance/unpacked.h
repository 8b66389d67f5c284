#pragma once

// A checkpoint whose packed tensors are unpacked to f32 as they are read.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weights/checkpoint.h"

namespace polymath::conformance {

class Unpacked : public weights::Checkpoint {
 public:
  explicit Unpacked(std::unique_ptr<weights::Checkpoint> packed) : packed_(std::move(packed)) {
    for (weights::TensorInfo info : packed_->tensors()) {
      if (info.format != nullptr && !info.format->plain()) info.format = &quant::kF32;
      infos_.push_back(std::move(info));
    }
  }
  std::span<const weights::TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return packed_->has(name); }
  weights::Naming naming() const override { return packed_->naming(); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    ASSIGN_OR_RETURN(weights::RawTensor raw, packed_->read(name, expected));
    if (raw.format->plain()) return raw;
    std::vector<float>& values = values_[std::string(name)];
    values.resize(static_cast<size_t>(expected.elements()));
    raw.format->dequantize({raw.data}, 0, values.data(), expected.elements());
    return weights::RawTensor{tensor::DType::kF32, expected, reinterpret_cast<const std::byte*>(values.data()),
                              &quant::kF32};
  }
  void prefetch(std::string_view) override {}
  void release(std::string_view) override {}

 private:
  std::unique_ptr<weights::Checkpoint> packed_;
  std::vector<weights::TensorInfo> infos_;
  std::map<std::string, std::vector<float>> values_;
};

}  // namespace polymath::conformance
