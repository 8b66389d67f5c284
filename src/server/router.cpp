#include "server/router.h"

#include "base/check.h"

namespace polymath::server {
namespace {

template <typename Methods>
std::string allow_text(const Methods& methods) {
  std::string out;
  for (const auto& [method, handler] : methods) {
    if (!out.empty()) out += ", ";
    out += method;
    if (method == "GET" && !methods.contains("HEAD")) out += ", HEAD";
  }
  if (!methods.contains("OPTIONS")) out += ", OPTIONS";
  return out;
}

}  // namespace

void Router::add(std::string_view method, std::string_view path, HttpHandler handler) {
  CHECK(handler != nullptr);
  CHECK(paths_[std::string(path)].emplace(std::string(method), std::move(handler)).second);
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const auto entry = paths_.find(path);
  if (entry == paths_.end()) return {};
  Match match{.path = entry->first};
  auto found = entry->second.find(method);
  if (found == entry->second.end() && method == "HEAD") found = entry->second.find("GET");
  if (found != entry->second.end()) {
    match.handler = &found->second;
  } else {
    match.allow = allow_text(entry->second);
  }
  return match;
}

}  // namespace polymath::server
