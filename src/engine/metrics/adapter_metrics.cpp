#include "engine/metrics/adapter_metrics.h"

#include <ctime>

#include "absl/strings/str_cat.h"

namespace polymath::engine {

AdapterMetrics::AdapterMetrics(const MetricsOptions& options, const base::Labels& labels,
                               base::MetricsRegistry& registry) {
  auto counts = std::make_shared<Counts>();
  for (const std::string& name : options.adapters) {
    counts->adapters.push_back(std::make_unique<Adapter>());
    counts->adapters.back()->name = name;
  }
  counts_ = counts;
  if (options.adapters_max == 0) return;
  base::Info& info =
      registry.info("vllm:lora_requests_info",
                    "LoRA adapters of the requests that run and wait, as labels; the value is when.", labels);
  registry.on_render([&info, counts = counts_, max = absl::StrCat(options.adapters_max)] {
    info.set({{"max_lora", max},
              {"running_lora_adapters", counts->names(&Adapter::running)},
              {"waiting_lora_adapters", counts->names(&Adapter::waiting)}},
             static_cast<double>(std::time(nullptr)));
  });
}

std::string AdapterMetrics::Counts::names(std::atomic<int> Adapter::*of) const {
  std::string out;
  for (const auto& adapter : adapters) {
    if ((*adapter.*of).load(std::memory_order_relaxed) <= 0) continue;
    absl::StrAppend(&out, out.empty() ? "" : ",", adapter->name);
  }
  return out;
}

void AdapterMetrics::add(int adapter, int waiting, int running) const {
  if (adapter < 0 || adapter >= static_cast<int>(counts_->adapters.size())) return;
  Adapter& a = *counts_->adapters[static_cast<size_t>(adapter)];
  a.waiting.fetch_add(waiting, std::memory_order_relaxed);
  a.running.fetch_add(running, std::memory_order_relaxed);
}

}  // namespace polymath::engine
