#include "commands/memory.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "commands/flags/flag_values.h"
#include "commands/text_table.h"

namespace polymath::commands {
namespace {

constexpr int64_t kNoLimit = INT64_MAX;

// The only number of a file; "max" or no file: no limit.
int64_t number_in(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  int64_t value = 0;
  return in >> word && absl::SimpleAtoi(word, &value) && value >= 0 ? value : kNoLimit;
}

// The number behind `key` in lines of "key value".
int64_t number_after(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return kNoLimit;
}

struct GroupFiles {
  const char* limit;
  const char* used;
  const char* stat;
  const char* reclaimable;  // in `stat`: file pages that can be evicted
};
// Version 2 of control groups, then version 1, as a container sees its own.
constexpr GroupFiles kGroups[] = {
    {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"},
    {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
     "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file"},
};

int64_t left_in(const GroupFiles& group) {
  const int64_t limit = number_in(group.limit);
  const int64_t used = number_in(group.used);
  if (limit == kNoLimit || used == kNoLimit) return kNoLimit;
  const int64_t reclaimable = number_after(group.stat, group.reclaimable);
  return std::max<int64_t>(0, limit - used + (reclaimable == kNoLimit ? 0 : reclaimable));
}

}  // namespace

int64_t available_memory() {
  const int64_t kib = number_after("/proc/meminfo", "MemAvailable:");
  int64_t least = kib == kNoLimit ? kNoLimit : kib * 1024;
  for (const GroupFiles& group : kGroups) least = std::min(least, left_in(group));
  return least;
}

plan::MemoryBudget memory_budget(const std::vector<backend::Backend*>& ranks, double share) {
  if (ranks.front()->memory_available() < 0) return {.available = available_memory()};
  int64_t free = kNoLimit, total = kNoLimit;
  for (const backend::Backend* rank : ranks) {
    free = std::min(free, rank->memory_available());
    total = std::min(total, rank->memory_total());
  }
  const auto n = static_cast<int64_t>(ranks.size());
  const int64_t held_back = std::max<int64_t>(0, total - static_cast<int64_t>(share * static_cast<double>(total)));
  return {.available = n * std::max<int64_t>(0, free - held_back),
          .held_back = n * held_back,
          .total = n * total,
          .is_device = true};
}

namespace {

std::string text(int64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

// The plan of a step of at most `tokens` tokens.
plan::MemoryPlan plan_of(const plan::Planner& planner, plan::PlanRequest request, int tokens) {
  for (int* limit : {&request.step.tokens_max, &request.step.seqs_max, &request.step.logit_rows_max}) {
    *limit = std::min(*limit, tokens);
  }
  return planner.plan(request);
}

// The most tokens of a step whose scratch leaves as much again; 0: none.
int step_tokens_that_fit(const plan::Planner& planner, const plan::PlanRequest& request) {
  int least = 0, most = request.step.tokens_max - 1;
  while (least < most) {
    const int tokens = least + (most - least + 1) / 2;
    const plan::MemoryPlan plan = plan_of(planner, request, tokens);
    if (plan.fits() && plan.left() >= plan.scratch) {
      least = tokens;
    } else {
      most = tokens - 1;
    }
  }
  return least;
}

std::string what_would_fit(const plan::Planner& planner, const plan::PlanRequest& request,
                           const plan::MemoryPlan& plan) {
  if (plan.left() > 0 && (request.kv_bytes > 0 || request.cache.n_blocks > 0)) {
    return absl::StrCat("--kv-cache-memory-bytes ", plan.left() >> 20, "Mi would fit; so would a smaller ",
                        "--max-num-batched-tokens");
  }
  const int tokens = step_tokens_that_fit(planner, request);
  if (tokens > 0) return absl::StrCat("--max-num-batched-tokens ", tokens, " would fit");
  const int64_t with_held_back = plan.left() + plan.memory.held_back;
  if (plan.memory.held_back > 0 && with_held_back > 0) {
    const double share = 1 - static_cast<double>(with_held_back / 2) / static_cast<double>(plan.memory.total);
    return absl::StrCat("--gpu-memory-utilization ", std::ceil(std::min(0.99, share) * 100) / 100, " might fit");
  }
  return "The weights alone leave no room: --dtype bfloat16 halves float32 ones, else a larger machine is needed";
}

struct Part {
  const char* name;
  int64_t planned, allocated;
};

}  // namespace

std::string plan_text(const plan::MemoryPlan& plan, const plan::PlanRequest& request) {
  std::string sum = absl::StrCat(text(plan.weights), " of weights + ", text(plan.scratch), " of scratch (",
                                 request.step.tokens_max, " tokens a step) + ", text(plan.kv_cache()), " of KV cache (",
                                 plan.n_blocks, " blocks of ", request.cache.block_size, " tokens");
  if (plan.state_bytes > 0) absl::StrAppend(&sum, ", ", plan.n_state_slots(), " states of ", text(plan.state_bytes));
  sum += ")";
  if (plan.margin > 0) absl::StrAppend(&sum, " + about ", text(plan.margin), " beside");
  if (plan.graphs > 0) absl::StrAppend(&sum, " (CUDA graphs about ", text(plan.graphs), ")");
  absl::StrAppend(&sum, "; ", text(plan.memory.available), " are available");
  if (plan.memory.is_device) {
    absl::StrAppend(&sum, ", without the ", text(plan.memory.held_back), " of ", text(plan.memory.total),
                    " that --gpu-memory-utilization leaves to others");
  }
  return sum;
}

std::string plan_table(const plan::MemoryPlan& plan, const plan::PlanRequest& request) {
  TextTable table({"memory", "bytes", ""});
  const auto add = [&](const std::string& name, int64_t bytes) { table.add({name, with_commas(bytes), text(bytes)}); };
  add("weights", plan.weights);
  int64_t others = plan.weights;
  for (const auto& [use, bytes] : plan.matrices) {
    add("  " + use, bytes);
    others -= bytes;
  }
  add("  vectors, tables, adapters", others);
  add(absl::StrCat("scratch, steps of ", request.step.tokens_max, " tokens"), plan.scratch);
  add(absl::StrCat("KV cache, ", plan.n_blocks, " blocks of ", request.cache.block_size),
      plan.kv_block_bytes * plan.n_blocks);
  if (plan.state_bytes > 0) {
    add(absl::StrCat("states, ", plan.n_state_slots()), plan.state_bytes * plan.n_state_slots());
  }
  if (plan.margin > 0) add("margin (estimate)", plan.margin);
  add("left", plan.left() - plan.kv_cache());
  add("available", plan.memory.available);
  const int64_t length = std::min<int64_t>(request.model_len, std::max<int64_t>(1, plan.tokens));
  return absl::StrCat(table.text(), "the KV cache holds ", with_commas(plan.tokens), " tokens: ", plan.tokens / length,
                      " requests of ", with_commas(length), " at once\n");
}

absl::Status check_plan(const plan::Planner& planner, const plan::PlanRequest& request, const plan::MemoryPlan& plan) {
  if (plan.fits()) return absl::OkStatus();
  if (plan.left() <= 0 || plan.kv_cache() > plan.left()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("not enough memory: ", plan_text(plan, request), ". ", what_would_fit(planner, request, plan)));
  }
  if (plan.state_bytes > 0 && plan.n_live_states == 0) {
    return absl::ResourceExhaustedError(absl::StrCat("the KV cache of ", text(plan.kv_bytes_max),
                                                     " holds no two states of the recurrent layers of ",
                                                     text(plan.state_bytes), " each; raise --kv-cache-memory-bytes"));
  }
  const int64_t blocks = (request.model_len + request.cache.block_size - 1) / request.cache.block_size;
  return absl::ResourceExhaustedError(absl::StrCat("the KV cache of ", text(plan.kv_bytes_max), " holds ", plan.tokens,
                                                   " tokens, but one request of ", request.model_len, " needs ",
                                                   text(blocks * plan.kv_block_bytes),
                                                   "; raise --kv-cache-memory-bytes or lower --max-model-len"));
}

void compare_with_plan(const plan::MemoryPlan& plan, const model::Transformer& model) {
  const Part parts[] = {{"weights", plan.weights, static_cast<int64_t>(model.weight_bytes())},
                        {"scratch", plan.scratch, static_cast<int64_t>(model.scratch_bytes())},
                        {"KV cache", plan.kv_cache(), static_cast<int64_t>(model.kv_bytes())}};
  std::string allocated, differences;
  for (const Part& part : parts) {
    absl::StrAppend(&allocated, allocated.empty() ? "" : ", ", part.name, " ", part.allocated);
    if (part.planned == part.allocated) continue;
    absl::StrAppend(&differences, differences.empty() ? "" : ", ", part.name, " ", part.allocated, " instead of ",
                    part.planned);
  }
  if (differences.empty()) {
    base::log_info("serve", "memory as planned, in bytes: ", allocated);
  } else {
    base::log_warning("serve", "memory differs from the plan, in bytes: ", differences);
  }
}

void export_memory(const plan::MemoryPlan& plan, const model::Transformer& model, int replica,
                   base::MetricsRegistry& metrics) {
  const std::pair<const char*, size_t> kinds[] = {{"weights", model.weight_bytes()},
                                                  {"scratch", model.scratch_bytes()},
                                                  {"kv_cache", model.kv_bytes()},
                                                  {"graphs", model.graph_bytes()}};
  const std::pair<const char*, int64_t> planned[] = {
      {"weights", plan.weights}, {"scratch", plan.scratch}, {"kv_cache", plan.kv_cache()}, {"graphs", plan.graphs}};
  const auto labels = [&](const char* kind) {
    base::Labels of_kind{{"kind", kind}};
    if (replica >= 0) of_kind.emplace_back("engine", absl::StrCat(replica));
    return of_kind;
  };
  for (const auto& [kind, bytes] : kinds) {
    metrics.gauge("polymath:memory_bytes", "Memory allocated at start, by kind.", labels(kind))
        .set(static_cast<double>(bytes));
  }
  for (const auto& [kind, bytes] : planned) {
    metrics.gauge("polymath:memory_planned_bytes", "Memory planned before the load, by kind.", labels(kind))
        .set(static_cast<double>(bytes));
  }
}

}  // namespace polymath::commands
