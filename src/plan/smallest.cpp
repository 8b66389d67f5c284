#include "plan/smallest.h"

#include <algorithm>
#include <cmath>
#include <variant>

#include "absl/strings/str_cat.h"
#include "plan/model_facts.h"

namespace polymath::plan {
namespace {

constexpr int kGpusOfHost = 8, kHostsMax = 8;

std::vector<Layout> candidates() {
  std::vector<Layout> out;
  for (int gpus = 1; gpus <= kGpusOfHost * kHostsMax; gpus *= 2) {
    const int tensor = std::min(gpus, kGpusOfHost);
    out.push_back({.tensor = tensor, .pipeline = gpus / tensor});
    if (tensor > 1) out.push_back({.tensor = tensor, .pipeline = gpus / tensor, .expert_parallel = true});
  }
  return out;
}

// Bytes of packed formats, over all uses.
int64_t packed_bytes(const GroupPlan& plan) {
  int64_t sum = 0;
  for (const GpuShare& stage : plan.stages) {
    for (const auto& [key, bytes] : stage.by_use) {
      const quant::QuantFormat* format = quant::find_format(key.second);
      if (format != nullptr && !format->plain()) sum += bytes;
    }
  }
  return sum;
}

const model::GroupedQuery* first_grouped(const model::ModelConfig& config) {
  for (const model::LayerConfig& layer : config.layers) {
    if (const auto* gqa = std::get_if<model::GroupedQuery>(&layer.attention)) return gqa;
  }
  return nullptr;
}

bool has_latents(const model::ModelConfig& config) {
  return std::any_of(config.layers.begin(), config.layers.end(), [](const model::LayerConfig& layer) {
    return std::holds_alternative<model::Latent>(layer.attention);
  });
}

void add_cache_warnings(const model::ModelConfig& config, const Layout& layout, std::vector<std::string>& out) {
  if (has_latents(config) && layout.tensor > 1) {
    out.push_back(absl::StrCat("MLA: each of ", layout.tensor, " ranks keeps the whole latent, so ", layout.tensor,
                               " GPUs hold no more tokens than one with the same room; data parallelism would"));
  }
  const model::GroupedQuery* gqa = first_grouped(config);
  if (gqa != nullptr && gqa->n_kv_heads < layout.tensor) {
    out.push_back(absl::StrCat(gqa->n_kv_heads, " KV heads are fewer than ", layout.tensor, " ranks: each is kept by ",
                               layout.tensor / gqa->n_kv_heads));
  }
  const ModelFacts facts = model_facts(config);
  if (facts.kv_elements_windowed > 0) {
    const auto share =
        static_cast<double>(facts.kv_elements_windowed) / static_cast<double>(facts.kv_elements_per_token);
    out.push_back(
        absl::StrCat(std::lround(100 * share),
                     " % of the KV cache is of layers with a window; this engine keeps their old tokens too"));
  }
}

}  // namespace

bool cuts_packed_groups(const GroupPlanner& planner, const GroupPlan& plan, GroupRequest request) {
  request.layout = {};
  const auto whole = planner.plan(request);
  if (!whole.ok() || packed_bytes(*whole) == 0) return false;
  // Replicas count several times, so less than the whole can only mean that something was unpacked.
  return packed_bytes(plan) * plan.layout.expert_ranks() < packed_bytes(*whole) * 99 / 100;
}

std::optional<GroupPlan> smallest_group(const GroupPlanner& planner, GroupRequest request, const Wanted& wanted) {
  for (const Layout& layout : candidates()) {
    request.layout = layout;
    auto plan = planner.plan(request);
    if (!plan.ok() || !plan->fits(wanted.sequences, wanted.length)) continue;
    if (layout.tensor > 1 && !layout.expert_parallel && cuts_packed_groups(planner, *plan, request)) continue;
    return *std::move(plan);
  }
  return std::nullopt;
}

std::vector<std::string> warnings(const GroupPlanner& planner, const GroupPlan& plan, const GroupRequest& request) {
  std::vector<std::string> out;
  if (!plan.gpu->has_kernels) {
    out.push_back(absl::StrCat("this engine has no kernels for ", std::string(plan.gpu->title),
                               " (CUDA: Hopper alone): the plan is arithmetic"));
  }
  if (cuts_packed_groups(planner, plan, request)) {
    out.push_back(
        absl::StrCat("tensor parallelism over ", plan.layout.expert_ranks(),
                     " cuts groups of packed weights: they are unpacked; --enable-expert-parallel keeps them"));
  }
  add_cache_warnings(planner.config(), plan.layout, out);
  if (plan.layout.gpus() > kGpusOfHost) {
    out.push_back(absl::StrCat(plan.layout.gpus(), " GPUs are more than one host has"));
  }
  return out;
}

}  // namespace polymath::plan
