#pragma once

// The base of backends in host memory: allocation, copies, and ops that only the host has.
//
// Thread safety: as Backend.

#include <cstring>

#include "backend/backend.h"
#include "backend/reference/delta_net.h"

namespace polymath::backend {

class HostBackend : public Backend {
 public:
  absl::StatusOr<Buffer> allocate(size_t bytes) override {
    allocated_ += bytes;
    return Buffer::host(bytes);
  }
  size_t allocated_bytes() const override { return allocated_; }
  // Without elements, either side may be null.
  void copy_in(const Tensor& to, const void* host) override {
    if (to.bytes() > 0) std::memcpy(to.data, host, to.bytes());
  }
  void copy_out(void* host, const Tensor& from) override {
    if (from.bytes() > 0) std::memcpy(host, from.data, from.bytes());
  }
  DType activation_dtype(DType weight_dtype) const override {
    return weight_dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  }

  void zero(const Tensor& x) override { std::memset(x.data, 0, x.bytes()); }
  void keep_local(const Tensor& ids, int begin, int count) override {
    for (int64_t i = 0; i < ids.shape.elements(); ++i) {
      int32_t& id = ids.i32()[i];
      id = id >= begin && id < begin + count ? id - begin : -1;
    }
  }
  bool moves_experts() const override { return true; }
  void spread_over_copies(const ExpertGroups& groups, const Tensor& copies, const Tensor& ids) override {
    const int64_t n_experts = copies.rows(), width = copies.cols();
    for (int64_t e = 0; e < n_experts; ++e) {
      const int32_t* slots = copies.i32() + e * width;  // slots[0]: how many
      const int32_t begin = groups.offsets.i32()[e], end = groups.offsets.i32()[e + 1];
      for (int32_t i = begin; i < end; ++i) ids.i32()[groups.pairs.i32()[i]] = slots[1 + (i - begin) % slots[0]];
    }
  }
  bool has_gated_delta_net() const override { return true; }
  void gated_delta_net(const DeltaNetParams& params, const DeltaNetTensors& tensors, const StateView& states,
                       const StepLayout& layout) override {
    gated_delta_net_on_host(params, tensors, states, layout);
  }
  void gate_heads(const HeadGate& params, const Tensor& gate, const Tensor& x) override {
    gate_heads_on_host(params, gate, x);
  }

 private:
  size_t allocated_ = 0;
};

}  // namespace polymath::backend
