#pragma once

// --api-key: who may ask. Deny by default: every path needs the key but those that probes and scrapers read.

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

  // Null: welcome. Else 401.
  std::unique_ptr<server::HttpServer::Refusal> check(const server::HttpRequest& request) const;

  // Compares SHA-256 digests, all of them and all bytes, so that the time tells nothing about a key.
  bool allows(std::string_view authorization) const;

 private:
  std::vector<base::Digest> digests_;
};

}  // namespace polymath::api
