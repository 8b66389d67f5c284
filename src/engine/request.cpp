#include "engine/request.h"

#include "base/check.h"

namespace polymath::engine {

const char* finish_reason_name(FinishReason reason) {
  static constexpr const char* kNames[] = {"stop", "length", "abort", "error", "repetition"};
  static_assert(std::size(kNames) == static_cast<size_t>(FinishReason::kCount));
  CHECK(reason < FinishReason::kCount);
  return kNames[static_cast<size_t>(reason)];
}

}  // namespace polymath::engine
