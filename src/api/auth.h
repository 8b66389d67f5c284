#pragma once

// --api-key. Deny by default: every path needs a key unless its route is open (api/gate.h).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace polymath::api {

class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);

  // Which key an Authorization header carries: its number, from 1 on. Nullopt: no key, or a wrong one. Compares all
  // bytes of all SHA-256 digests, so that timing reveals nothing about a key.
  std::optional<int> find(std::string_view authorization) const;

 private:
  std::vector<base::Digest> digests_;
};

}  // namespace polymath::api
