#pragma once

// Which handler answers a method on a path. A path is exact, or the prefix before "*".
// Thread safety: find() and miss() from any thread once all routes are added.

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
    RouteKind kind = RouteKind::kWork;     // of that handler
    int number = kNoRoute;                 // of that handler: as add() returned it

    bool is_probe() const { return kind != RouteKind::kWork; }
    std::string allow;  // for the Allow header: "GET, HEAD, OPTIONS"; empty if handler is found
  };

  // Returns the route's number: they count from 0. REQUIRES: no such method on this path yet.
  int add(std::string_view method, std::string_view path, HttpHandler handler, RouteKind kind = RouteKind::kWork);

  // HEAD falls back on GET's handler. An exact path wins over a prefix, a longer prefix over a shorter one.
  Match find(std::string_view method, std::string_view path) const;

  // A sentence for a request that `match` has no handler for: method, path, and the nearest route. Printable ASCII.
  std::string miss(const Match& match, std::string_view method, std::string_view path) const;

 private:
  struct Entry {
    HttpHandler handler;
    RouteKind kind;
    int number;
  };
  using Methods = std::map<std::string, Entry, std::less<>>;
  using Paths = std::map<std::string, Methods, std::less<>>;
  Paths::const_iterator find_path(std::string_view path) const;
  std::string nearest(std::string_view method, std::string_view path) const;

  Paths paths_;
  int size_ = 0;
};

}  // namespace polymath::server
