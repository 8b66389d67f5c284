#include "commands/kernel_metrics.h"

namespace polymath::commands {

void KernelMetrics::update() {
  for (const backend::KernelInfo& family : backend_.kernels()) {
    for (const auto& variant : family.variants) {
      if (!variant.ran || !known_.insert({family.op, variant.name}).second) continue;
      metrics_
          .gauge("polymath:kernel_info", "Kernel variants that ran since the start, by op.",
                 {{"op", std::string(family.op)}, {"variant", std::string(variant.name)}})
          .set(1);
    }
  }
}

}  // namespace polymath::commands
