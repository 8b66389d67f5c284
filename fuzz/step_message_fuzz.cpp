// Messages between nodes, as a node that knows the secret could send them. The first byte chooses the kind.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/nodes/step_message.h"

using namespace polymath;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data + 1, size - 1));
  model::StepBounds bounds{.step = {.tokens_max = 64, .seqs_max = 8, .logit_rows_max = 8, .blocks_max = 16},
                           .vocab = 100,
                           .positions = 256,
                           .n_blocks = 32,
                           .block_size = 16};
  model::BatchCopy step;
  model::LoadsKept loads;
  switch (data[0] % 5) {
    case 0:
      if (model::read_step(bytes, bounds, step).ok()) {
        model::MessageBytes again;
        model::write_step(step, again);
        if (!std::ranges::equal(again, bytes)) std::abort();
      }
      break;
    case 1:
      if (model::read_loads(bytes, loads).ok() && loads.loads.size() > 4096) std::abort();
      break;
    case 2:
      static_cast<void>(model::read_limits(bytes).ok());
      break;
    case 3:
      static_cast<void>(model::read_cache(bytes, {}).ok());
      break;
    default:
      static_cast<void>(model::read_facts(bytes).ok());
  }
  return 0;
}
