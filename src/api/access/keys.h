#pragma once

// The keys of --api-key, --api-key-file and --admin-key. Only their SHA-256 digests are kept.
//
// Thread safety: constant after construction.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/metrics.h"
#include "base/status.h"

namespace polymath::api {

// A line of a key file. Two lines may have one name: the old and the new secret while clients change.
struct NamedSecret {
  std::string name, secret;
};

// Lines `name secret`; empty lines and lines of `#` are left out. kInvalidArgument names the line, never a secret.
// There is at least one key, and a name has 1 to 64 letters, digits and `._-`. The names of --api-key and --admin-key
// are taken: key1, key2, admin.
absl::StatusOr<std::vector<NamedSecret>> parse_key_file(std::string_view text);
inline constexpr size_t kKeysMax = 1024;              // more: refused
inline constexpr size_t kKeyFileBytesMax = 1u << 20;  // longer: refused

class ApiKeys {
 public:
  struct Key {
    std::string name;  // the principal; "key1" is the first of --api-key
    base::Digest digest;
    base::Counter* requests = nullptr;  // with this key; null: not counted
  };

  explicit ApiKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}

  bool empty() const { return keys_.empty(); }
  // The key that an Authorization header carries. Null: none, or a wrong one. Compares all bytes of all digests, so
  // that timing reveals nothing about a key.
  const Key* find(std::string_view authorization) const;

 private:
  std::vector<Key> keys_;
};

base::Digest digest_of_key(std::string_view secret);

}  // namespace polymath::api
