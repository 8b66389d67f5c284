#pragma once

// GGUF's architectures: what their metadata keys are called in config.json.

#include <span>
#include <string_view>
#include <vector>

namespace polymath::weights {

// A key behind "<architecture>.", and what config.json calls it. "a.b": b inside a. Empty: without effect on the model,
// or what its class does anyway.
struct GgufKey {
  std::string_view gguf;
  std::string_view config;
};

// Rows of one name are tried in order. The first whose condition holds counts.
struct GgufArchitecture {
  std::string_view name;              // general.architecture
  std::string_view model;             // an `architectures` entry of config.json; empty: known, not built
  std::string_view when = {};         // a key that must not be 0; empty: no condition
  int value = -1;                     // of that key; -1: any
  std::vector<GgufKey> keys = {};     // in place of gguf_common_keys(), and further ones
  std::string_view constants = "{}";  // JSON: what the architecture implies
  std::string_view bias = {};         // written: whether q, k and v have biases
  std::string_view qk_norm = {};      // written: whether q and k have norms
  bool partial_rotary = false;        // rope.dimension_count may be less than a head
  bool latent = false;                // multi-head latent attention
  double log_multiplier = 1;          // rope.scaling.yarn_log_multiplier is so many times mscale_all_dim
  int gating = 0;                     // expert_gating_func of the class: 1 softmax, 2 sigmoid; 0: has no experts
};

std::span<const GgufKey> gguf_common_keys();
std::span<const GgufArchitecture> gguf_architectures();

}  // namespace polymath::weights
