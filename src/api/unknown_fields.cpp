#include "api/unknown_fields.h"

#include "base/log.h"

namespace polymath::api {

void UnknownFields::warn(std::span<const std::string> names) {
  for (const std::string& name : names) {
    {
      const std::lock_guard lock(mutex_);
      if (warned_.size() >= kNamesMax || !warned_.insert(name).second) continue;
    }
    base::log_warning("api", "requests have a field that is not known here and has no effect: ", name);
  }
}

size_t UnknownFields::n_warned() const {
  const std::lock_guard lock(mutex_);
  return warned_.size();
}

}  // namespace polymath::api
