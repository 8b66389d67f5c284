#pragma once

// --api-key. Deny by default: every path needs a key unless its route is open (api/dialects.h).

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "server/http_server.h"

namespace polymath::api {

class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);

  // Null: the request may pass. Else 401, in the words of the path's dialect.
  std::unique_ptr<server::HttpServer::Refusal> check(const server::HttpRequest& request) const;

  // Compares all bytes of all SHA-256 digests, so that timing reveals nothing about a key.
  bool allows(std::string_view authorization) const;

 private:
  std::vector<base::Digest> digests_;
};

}  // namespace polymath::api
