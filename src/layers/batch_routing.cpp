#include "layers/batch_routing.h"

namespace polymath::layers {
namespace {

using tensor::DType;
using tensor::Tensor;

// A matrix without gaps, as floats on the host.
std::vector<float> to_host(backend::Backend& backend, const Tensor& t) {
  CHECK(t.row_gap == 0);
  std::vector<float> values(static_cast<size_t>(t.shape.elements()));
  if (t.dtype == DType::kF32) {
    backend.copy_out(values.data(), t);
    return values;
  }
  std::vector<uint16_t> raw(values.size());
  backend.copy_out(raw.data(), t);
  for (size_t i = 0; i < raw.size(); ++i) values[i] = tensor::bf16_to_f32(raw[i]);
  return values;
}

}  // namespace

void choose_by_experts(backend::Backend& backend, const routing::RouterConfig& config, float capacity_factor,
                       const Tensor& logits, const backend::Routing& routing) {
  const int64_t n = logits.rows(), experts = config.n_experts;
  CHECK(routing.ids.cols() == experts);
  const auto chosen =
      routing::expert_choice(config, to_host(backend, logits).data(), static_cast<int>(n), capacity_factor);
  std::vector<int32_t> ids(static_cast<size_t>(n * experts), -1);
  std::vector<float> weights(ids.size(), 0.0f);
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t i = e * chosen.capacity; i < (e + 1) * chosen.capacity; ++i) {
      ids[chosen.token_ids[i] * experts + e] = static_cast<int32_t>(e);
      weights[chosen.token_ids[i] * experts + e] = chosen.weights[i];
    }
  }
  backend.copy_in(routing.ids, ids.data());
  backend.copy_in(routing.weights, weights.data());
}

int drop_over_capacity(backend::Backend& backend, const routing::RouterConfig& config, float capacity_factor,
                       const backend::Routing& routing) {
  std::vector<int32_t> ids(static_cast<size_t>(routing.ids.shape.elements()));
  backend.copy_out(ids.data(), routing.ids);
  std::vector<float> weights = to_host(backend, routing.weights);
  const int n_dropped = routing::apply_capacity(config, capacity_factor, static_cast<int>(routing.ids.rows()),
                                                ids.data(), weights.data());
  backend.copy_in(routing.ids, ids.data());
  backend.copy_in(routing.weights, weights.data());
  return n_dropped;
}

SoftMixture mix_slots(backend::Backend& backend, const Tensor& logits, const Tensor& x) {
  SoftMixture m;
  m.n_tokens = logits.rows();
  m.n_slots = logits.cols();
  m.mixture =
      routing::soft_moe(to_host(backend, logits).data(), static_cast<int>(m.n_tokens), static_cast<int>(m.n_slots));
  const std::vector<float> tokens = to_host(backend, x);
  const int64_t hidden = x.cols();
  m.slot_inputs.assign(static_cast<size_t>(m.n_slots * hidden), 0.0f);
  for (int64_t t = 0; t < m.n_tokens; ++t) {
    for (int64_t slot = 0; slot < m.n_slots; ++slot) {
      const float share = m.mixture.dispatch[t * m.n_slots + slot];
      for (int64_t c = 0; c < hidden; ++c) m.slot_inputs[slot * hidden + c] += share * tokens[t * hidden + c];
    }
  }
  return m;
}

void combine_slots(backend::Backend& backend, const SoftMixture& m, const Tensor& outputs, float scale,
                   const Tensor& out) {
  const std::vector<float> slots = to_host(backend, outputs);
  std::vector<float> sum = to_host(backend, out);
  const int64_t hidden = out.cols();
  for (int64_t t = 0; t < m.n_tokens; ++t) {
    for (int64_t slot = 0; slot < m.n_slots; ++slot) {
      const float share = scale * m.mixture.combine[t * m.n_slots + slot];
      for (int64_t c = 0; c < hidden; ++c) sum[t * hidden + c] += share * slots[slot * hidden + c];
    }
  }
  backend.copy_in(out, sum.data());
}

}  // namespace polymath::layers
