#pragma once

// vllm:lora_requests_info: which LoRA adapters run and wait, as labels. Gateways send a request to a server that has
// its adapter. The value is when it was read, in seconds since 1970.
//
// Thread safety: the engine thread counts, without allocating; any thread renders.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/options.h"

namespace polymath::engine {

class AdapterMetrics {
 public:
  // Nothing is exported where options.adapters_max is 0.
  AdapterMetrics(const MetricsOptions& options, const base::Labels& labels, base::MetricsRegistry& registry);

  // `adapter`: as Request::adapter.
  void waits(int adapter) { add(adapter, 1, 0); }
  void starts(int adapter) { add(adapter, -1, 1); }
  void ends(int adapter, bool started) { add(adapter, started ? 0 : -1, started ? -1 : 0); }

 private:
  struct Adapter {
    std::string name;
    std::atomic<int> waiting{0}, running{0};
  };
  struct Counts {
    std::vector<std::unique_ptr<Adapter>> adapters;
    std::string names(std::atomic<int> Adapter::*of) const;  // of those above 0, with commas
  };
  void add(int adapter, int waiting, int running) const;

  std::shared_ptr<const Counts> counts_;  // shared with the registry
};

}  // namespace polymath::engine
