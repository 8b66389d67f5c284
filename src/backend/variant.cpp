#include "backend/variant.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace polymath::backend {

OpFamily::OpFamily(std::string_view op, std::vector<std::string_view> names) : op_(op), names_(std::move(names)) {
  CHECK(!names_.empty() && names_.size() <= kVariantsMax);
}

KernelInfo OpFamily::info() const {
  KernelInfo info{op_, {}};
  const uint32_t ran = ran_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < names_.size(); ++i) info.variants.push_back({names_[i], (ran >> i & 1) != 0});
  return info;
}

bool OpFamily::force(std::string_view variant) {
  const auto found = std::find(names_.begin(), names_.end(), variant);
  if (found == names_.end() && !variant.empty()) return false;
  forced_ = variant.empty() ? kNone : static_cast<size_t>(found - names_.begin());
  return true;
}

void OpFamily::note_first(size_t i) {
  ran_.fetch_or(uint32_t{1} << i, std::memory_order_relaxed);
  base::log_info("backend", op_, " runs ", names_[i]);
}

}  // namespace polymath::backend
