#pragma once

// The keys that are valid now. A key file is read again when it changes; a faulty one leaves the old keys valid.
//
// Thread safety: all of it.

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/access/keys.h"
#include "base/metrics.h"
#include "base/periodic.h"
#include "base/watched_file.h"

namespace polymath::api {

// Whether --api-key-file can be used; the message names the file, and no secret.
absl::Status check_key_file(const std::string& path);

class KeyRing {
 public:
  // `secrets` are called key1, key2 ...; `file`: empty for none. A file that cannot be read gives no key, and all
  // requests are refused until it can: see check_key_file.
  KeyRing(const std::vector<std::string>& secrets, const std::string& file, base::MetricsRegistry& metrics);

  bool is_required() const { return is_required_; }  // false: there were no keys at all
  std::shared_ptr<const ApiKeys> keys() const;
  // Reads the file if it has changed. A thread does this every second.
  void refresh();

 private:
  absl::Status read_file();
  ApiKeys::Key make_key(std::string name, const std::string& secret);

  base::MetricsRegistry& metrics_;
  const bool is_required_;
  std::vector<ApiKeys::Key> fixed_;
  size_t names_ = 0;  // with a counter, over all reads of the file; only the refreshing thread uses it
  base::WatchedFile file_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ApiKeys> keys_;  // under mutex_
  std::unique_ptr<base::Periodic> refreshing_;
};

}  // namespace polymath::api
