#pragma once

// The least that a step reads and computes: the numerators of a roofline.

#include "quant/weight.h"

namespace polymath::layers {

// The extent of a step.
struct StepExtent {
  double tokens = 0;
  double logit_rows = 0;
  double context = 0;  // tokens with KV, over all sequences
  double pairs = 0;    // (query, key) pairs of causal attention
};

struct StepCost {
  double weight_bytes = 0;  // read once each
  double kv_bytes = 0;      // keys and values in the context, read once each
  double flops = 0;         // multiply-adds times two

  // `rows` meet one group each (experts); `touched` groups are read.
  void add_weight(const quant::Weight& w, double rows, double touched = 1) {
    if (w.empty()) return;
    weight_bytes += w.value_bytes() * touched / static_cast<double>(w.shape.groups);
    flops += 2.0 * static_cast<double>(w.shape.rows * w.shape.cols) * rows;
  }
  // Every row meets every group (heads).
  void add_heads(const quant::Weight& w, double rows) {
    add_weight(w, rows * static_cast<double>(w.shape.groups), static_cast<double>(w.shape.groups));
  }
};

}  // namespace polymath::layers
