#pragma once

// Slows wrong keys by address. Some a minute are free. Then every key waits that this address has not used before.
//
// A right key is judged by its own address alone. Where it was used before, it passes even while others behind the same
// address guess. A guess that is right by luck waits like a wrong one, so that it reveals nothing.
//
// Thread safety: all of it.

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace polymath::api {

class KeyGuard {
 public:
  static constexpr int kWrongKeysMax = 10;       // a minute; beyond: the seconds to wait
  static constexpr size_t kAddressesMax = 4096;  // beyond: the address seen least lately is forgotten
  static constexpr size_t kNamesMax = 32;        // right keys remembered of one address; further ones are not

  // Seconds that this request must wait; 0: none. `name`: of the right key that it carries; empty: its key is wrong.
  // `now`: in seconds, never less than before.
  double judge(const std::string& address, std::string_view name, double now);

 private:
  struct Entry {
    double tokens = kWrongKeysMax, at = 0;
    std::vector<std::string> names;  // keys that were right
    std::list<std::string>::iterator use;
  };
  Entry& entry_locked(const std::string& address, double now);

  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> uses_;  // addresses, the one seen last at the end
};

}  // namespace polymath::api
