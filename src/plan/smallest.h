#pragma once

// The fewest GPUs of a kind that hold a model with some sequences, and what to know about a layout.

#include <optional>
#include <string>
#include <vector>

#include "plan/gpu_group.h"

namespace polymath::plan {

// What must fit at once.
struct Wanted {
  int64_t sequences = 1;
  int64_t length = 0;  // tokens of each
};

// Tries 1, 2, 4 and 8 GPUs by tensor parallelism, then up to 8 hosts as pipeline stages. Experts stay whole where
// slices would cut groups of packed values, or do not divide. The request's layout is not read.
// Nullopt: even that many do not hold it.
std::optional<GroupPlan> smallest_group(const GroupPlanner& planner, GroupRequest request, const Wanted& wanted);

// Whether the layout cuts groups of packed values, so that some matrices are unpacked.
bool cuts_packed_groups(const GroupPlanner& planner, const GroupPlan& plan, GroupRequest request);

// Sentences about a plan: what is replicated, unpacked, kept in vain, or not supported by a device.
std::vector<std::string> warnings(const GroupPlanner& planner, const GroupPlan& plan, const GroupRequest& request);

}  // namespace polymath::plan
