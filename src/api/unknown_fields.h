#pragma once

// Warns of request fields that have no effect: one line for each name, as long as the server runs.
//
// Thread safety: all of it.

#include <mutex>
#include <set>
#include <span>
#include <string>

namespace polymath::api {

class UnknownFields {
 public:
  static constexpr size_t kNamesMax = 256;  // distinct names; further ones are not logged

  void warn(std::span<const std::string> names);
  size_t n_warned() const;

 private:
  mutable std::mutex mutex_;
  std::set<std::string> warned_;
};

}  // namespace polymath::api
