#pragma once

// A backend on host memory that also sums the squares of what its linear layers and experts read.
//
// Its ops are another backend's. Fused ops with experts are the compositions, whose grouped_linear() it sees.

#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace polymath::commands {

// Sums of squares of the inputs of one matrix.
struct InputSquares {
  std::vector<double> sums;  // [cols]
  int64_t rows = 0;          // inputs that it saw
};

// A matrix of a group; its weight is known by its memory.
using MatrixKey = std::pair<const void*, int64_t>;

class ObservedBackend final : public backend::Backend {
 public:
  using Tensor = tensor::Tensor;
  // Called as a weight is filled. `stored`: where its values lie in the checkpoint.
  using OnFill = std::function<void(MatrixKey key, const std::byte* stored)>;

  // The inner backend outlives this.
  ObservedBackend(backend::Backend& inner, OnFill on_fill) : inner_(inner), on_fill_(std::move(on_fill)) {}

  const std::map<MatrixKey, InputSquares>& squares() const { return squares_; }
  void forget() { squares_.clear(); }

  std::string_view name() const override { return inner_.name(); }
  absl::StatusOr<tensor::Buffer> allocate(size_t bytes) override { return inner_.allocate(bytes); }
  void copy_in(const Tensor& to, const void* host) override { inner_.copy_in(to, host); }
  void copy_out(void* host, const Tensor& from) override { inner_.copy_out(host, from); }
  absl::Status reserve(const backend::StepLimits& limits) override;
  size_t reserve_bytes(const backend::StepLimits& limits) const override {
    return inner_.reserve_bytes(limits) + reserve_defaults_bytes(limits);
  }
  size_t allocated_bytes() const override { return inner_.allocated_bytes(); }
  tensor::DType activation_dtype(tensor::DType weight) const override { return inner_.activation_dtype(weight); }

  const quant::QuantFormat& kept_format(const quant::QuantFormat& stored, quant::WeightUse use,
                                        tensor::DType dtype) const override {
    return inner_.kept_format(stored, use, dtype);
  }
  size_t weight_bytes(const quant::WeightShape& shape, const quant::QuantFormat& format) const override {
    return inner_.weight_bytes(shape, format);
  }
  absl::StatusOr<quant::Weight> make_weight(const quant::WeightShape& shape,
                                            const quant::QuantFormat& format) override {
    return inner_.make_weight(shape, format);
  }
  void fill_weight(quant::Weight& weight, int64_t group, int64_t row_begin, const quant::MatrixView& view) override;

  size_t kv_block_bytes(const backend::KvShape& shape) const override { return inner_.kv_block_bytes(shape); }
  absl::Status check_kv(const backend::KvShape& shape) const override { return inner_.check_kv(shape); }
  void kv_write(const backend::KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) override {
    inner_.kv_write(kv, k, v, slots);
  }

  void embed(const quant::Weight& table, const Tensor& ids, float scale, const Tensor& y) override {
    inner_.embed(table, ids, scale, y);
  }
  void norm(const backend::NormParams& p, const Tensor& x, const Tensor& y) override { inner_.norm(p, x, y); }
  void linear(const Tensor& x, const quant::Weight& w, const backend::LinearEpilogue& epilogue,
              const Tensor& y) override;
  void batched_linear(const Tensor& x, int64_t x_stride, const quant::Weight& w, int64_t y_stride,
                      const Tensor& y) override;
  void rope(const backend::RopeParams& p, const Tensor& positions, const Tensor& x) override {
    inner_.rope(p, positions, x);
  }
  void copy_heads(const backend::HeadCopy& copy, const Tensor& from, const Tensor& to) override {
    inner_.copy_heads(copy, from, to);
  }
  void zero(const Tensor& x) override { inner_.zero(x); }
  void scale_rows(const Tensor& factors, const Tensor& x) override { inner_.scale_rows(factors, x); }
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& y) override { inner_.gather_rows(x, rows, y); }
  void attention(const backend::AttentionParams& p, const Tensor& q, const backend::KvLayer& kv,
                 const backend::StepLayout& layout, const Tensor& out) override {
    inner_.attention(p, q, kv, layout, out);
  }
  void gate_heads(const backend::HeadGate& p, const Tensor& gate, const Tensor& x) override {
    inner_.gate_heads(p, gate, x);
  }
  bool has_gated_delta_net() const override { return inner_.has_gated_delta_net(); }
  void gated_delta_net(const backend::DeltaNetParams& p, const backend::DeltaNetTensors& tensors,
                       const backend::StateView& states, const backend::StepLayout& layout) override {
    inner_.gated_delta_net(p, tensors, states, layout);
  }
  void route(const backend::RouteParams& p, const Tensor& logits, const Tensor& tokens,
             const backend::Routing& out) override {
    inner_.route(p, logits, tokens, out);
  }
  void group_by_expert(const backend::Routing& routing, int n_experts, const backend::ExpertGroups& out) override {
    inner_.group_by_expert(routing, n_experts, out);
  }
  void keep_local(const Tensor& ids, int begin, int count) override { inner_.keep_local(ids, begin, count); }
  void grouped_linear(const backend::GroupedLinear& p, const Tensor& x, const Tensor& y) override;
  void glu(const backend::GluParams& p, const Tensor& x, const Tensor& y) override { inner_.glu(p, x, y); }
  void combine(const Tensor& y, const backend::ExpertGroups& groups, const backend::Routing& routing, float scale,
               const Tensor& out) override {
    inner_.combine(y, groups, routing, scale, out);
  }
  void attention_of_qkv(const backend::QkvAttention& p, const Tensor& qkv, const backend::KvLayer& kv,
                        const backend::StepLayout& layout, const Tensor& out) override {
    inner_.attention_of_qkv(p, qkv, kv, layout, out);
  }
  std::vector<backend::KernelInfo> kernels() const override { return inner_.kernels(); }

 private:
  void add(const quant::Weight& w, int64_t group, const Tensor& x, int64_t row, int64_t col_begin);

  backend::Backend& inner_;
  const OnFill on_fill_;
  std::map<MatrixKey, InputSquares> squares_;
};

}  // namespace polymath::commands
