#pragma once

// Which handler answers a method on a path. Exact paths, no patterns.
// Thread safety: find() from any thread once all routes are added.

#include <map>
#include <string>
#include <string_view>

#include "server/http_server.h"

namespace polymath::server {

class Router {
 public:
  struct Match {
    std::string_view path;                 // as it was added; empty: unknown
    const HttpHandler* handler = nullptr;  // null: the path has no such method
    std::string allow;                     // for the Allow header: "GET, HEAD, OPTIONS"; empty if handler is found
  };

  // REQUIRES: no such method on this path yet.
  void add(std::string_view method, std::string_view path, HttpHandler handler);

  // HEAD falls back on GET's handler.
  Match find(std::string_view method, std::string_view path) const;

 private:
  using Methods = std::map<std::string, HttpHandler, std::less<>>;
  std::map<std::string, Methods, std::less<>> paths_;
};

}  // namespace polymath::server
