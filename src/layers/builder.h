#pragma once

// What a layer is made from: its weights by slot, and facts of its model.

#include <string>

#include "layers/linear.h"
#include "layers/rope.h"
#include "layers/slot.h"

namespace polymath::layers {

// The weights of a loaded model.
class LayerWeights {
 public:
  virtual ~LayerWeights() = default;
  virtual bool has(const std::string& slot) const = 0;
  // A slot's matrix, moved out. REQUIRES: has(slot).
  virtual quant::Weight take(const std::string& slot) = 0;
  // A slot's vector in device memory; null: the model has no such slot. Lives as long as the model.
  virtual const float* vector(const std::string& slot) const = 0;
  // All adapters' additions to a slot's matrix; empty: there are none.
  virtual AdapterWeights take_adapters(const std::string& slot) = 0;
  // [positions, dims / 2, 2] in device memory; null: no rotation. Shared by layers with equal configs.
  virtual absl::StatusOr<const float*> rope_table(const RopeConfig& rope) = 0;
};

struct LayerBuilder {
  LayerWeights& weights;
  backend::Backend& backend;
  parallel::Rank rank;
  std::string prefix;  // of the layer's slots: "layer.3."
  int64_t hidden = 0;
  float norm_eps = 1e-6f;
  float residual_scale = 1;

  const float* vector(const std::string& name) const { return weights.vector(prefix + name); }
  // Empty if the model has no such slot.
  quant::Weight matrix(const std::string& name) const {
    return weights.has(prefix + name) ? weights.take(prefix + name) : quant::Weight{};
  }
  Linear linear(const std::string& name, bool reduces = false) const {
    Linear l{matrix(name), {}, vector(name + "_bias"), reduces, weights.take_adapters(prefix + name)};
    for (int i = 1; weights.has(part_name(prefix + name, i)); ++i) {
      l.more.push_back(weights.take(part_name(prefix + name, i)));
    }
    return l;
  }
};

}  // namespace polymath::layers
