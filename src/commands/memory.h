#pragma once

// How much memory this process may still take, and a memory plan for people: the log, the refusal, /metrics.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "plan/memory_plan.h"

namespace polymath::commands {

// Bytes: the least of the machine's available memory and what its control groups leave.
int64_t available_memory();

// What a plan of all ranks may use: what the host has left, or `share` (--gpu-memory-utilization) of the devices. Every
// device counts as the one with the least memory.
plan::MemoryBudget memory_budget(const std::vector<backend::Backend*>& ranks, double share);

// "1.2 GiB of weights + ...": the plan's sum, its estimates named so, and the memory it is taken from.
std::string plan_text(const plan::MemoryPlan& plan, const plan::PlanRequest& request);
// The same as a line a part, for a dry run.
std::string plan_table(const plan::MemoryPlan& plan, const plan::PlanRequest& request);

// kResourceExhausted: the plan does not fit; the message has its sum and flags that would.
absl::Status check_plan(const plan::Planner& planner, const plan::PlanRequest& request, const plan::MemoryPlan& plan);

// Logs what was allocated; warns where it differs from the plan.
void compare_with_plan(const plan::MemoryPlan& plan, const model::Transformer& model);

// polymath:memory_bytes{kind}: weights, scratch, kv_cache and graphs, as allocated;
// polymath:memory_planned_bytes{kind}: as planned. `replica`: also the label `engine`; -1: there is one.
void export_memory(const plan::MemoryPlan& plan, const model::Transformer& model, int replica,
                   base::MetricsRegistry& metrics);

}  // namespace polymath::commands
