#pragma once

// The gated delta net in host memory, token by token. See Backend::gated_delta_net.

#include "backend/backend.h"

namespace polymath::backend {

void gated_delta_net_on_host(const DeltaNetParams& params, const DeltaNetTensors& tensors, const StateView& states,
                             const StepLayout& layout);
void gate_heads_on_host(const HeadGate& params, const Tensor& gate, const Tensor& x);

}  // namespace polymath::backend
