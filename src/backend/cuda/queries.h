#pragma once

// Backend::kernels_for: an op's problem made of shapes alone, and asked of the op's table.

#include "backend/cuda/attention/list.h"
#include "backend/cuda/experts/runner.h"
#include "backend/cuda/routing/list.h"

namespace polymath::backend::cuda {

struct OpFamilies {
  LinearRunner& linear;
  ExpertRunner& experts;
  AttentionFamilies& attention;
  RoutingFamilies& routing;
  int n_multiprocessors = 0;
};

// In the order in which they are listed.
std::vector<OpFamily*> all_families(const OpFamilies& families);

// The variants that fit, the first being the one that would run; empty: there is no such op family.
std::vector<std::string_view> kernels_for(const OpCall& call, const OpFamilies& families);

}  // namespace polymath::backend::cuda
