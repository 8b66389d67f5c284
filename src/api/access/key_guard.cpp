#include "api/access/key_guard.h"

#include <algorithm>

namespace polymath::api {
namespace {

constexpr double kSecondsAKey = 60.0 / KeyGuard::kWrongKeysMax;

}  // namespace

KeyGuard::Entry& KeyGuard::entry_locked(const std::string& address, double now) {
  const auto found = entries_.find(address);
  if (found != entries_.end()) {
    Entry& entry = found->second;
    uses_.splice(uses_.end(), uses_, entry.use);
    entry.tokens = std::min<double>(kWrongKeysMax, entry.tokens + (now - entry.at) / kSecondsAKey);
    entry.at = now;
    return entry;
  }
  if (entries_.size() >= kAddressesMax) {
    entries_.erase(uses_.front());
    uses_.pop_front();
  }
  uses_.push_back(address);
  Entry& entry = entries_[address];
  entry.at = now;
  entry.use = std::prev(uses_.end());
  return entry;
}

double KeyGuard::judge(const std::string& address, std::string_view name, double now) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entry_locked(address, now);
  const bool known = !name.empty() && std::find(entry.names.begin(), entry.names.end(), name) != entry.names.end();
  if (known) return 0;
  if (entry.tokens < 1) return (1 - entry.tokens) * kSecondsAKey;
  if (name.empty()) {
    entry.tokens -= 1;
  } else if (entry.names.size() < kNamesMax) {
    entry.names.emplace_back(name);
  }
  return 0;
}

}  // namespace polymath::api
