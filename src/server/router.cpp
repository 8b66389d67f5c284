#include "server/router.h"

#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/edit_distance.h"

namespace polymath::server {
namespace {

constexpr size_t kShownBytesMax = 128;  // of a client's path in a message; the rest is cut

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

bool is_prefix(std::string_view route) { return route.ends_with('*'); }

// A client's text within a sentence that may be quoted in any format.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownBytesMax));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '<') c = '?';
  }
  return out;
}

// The smaller, the nearer. A wrong base URL leaves out a prefix or doubles it: such a route is nearer than a misspelt
// one. Among equals a route of the same method is nearest.
std::tuple<bool, size_t, bool> distance(std::string_view path, std::string_view route, bool same_method) {
  const bool is_tail = route.size() > 1 && path.size() > 1 && (path.ends_with(route) || route.ends_with(path));
  return {!is_tail, base::edit_distance(path, route), !same_method};
}

}  // namespace

int Router::add(std::string_view method, std::string_view path, HttpHandler handler, RouteKind kind) {
  CHECK(handler != nullptr);
  CHECK(paths_[std::string(path)].emplace(std::string(method), Entry{std::move(handler), kind, size_}).second);
  return size_++;
}

Router::Paths::const_iterator Router::find_path(std::string_view path) const {
  const auto exact = paths_.find(path);
  if (exact != paths_.end()) return exact;
  auto best = paths_.end();
  for (auto at = paths_.begin(); at != paths_.end(); ++at) {
    const std::string_view route = at->first;
    if (!is_prefix(route)) continue;
    const std::string_view prefix = route.substr(0, route.size() - 1);
    const bool longer = best == paths_.end() || route.size() > best->first.size();
    if (path.size() > prefix.size() && path.starts_with(prefix) && longer) best = at;
  }
  return best;
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const auto entry = find_path(path);
  if (entry == paths_.end()) return {};
  Match match{.path = entry->first};
  auto found = entry->second.find(method);
  if (found == entry->second.end() && method == "HEAD") found = entry->second.find("GET");
  if (found != entry->second.end()) {
    match.handler = &found->second.handler;
    match.kind = found->second.kind;
    match.number = found->second.number;
  } else {
    match.allow = allow_text(entry->second);
  }
  return match;
}

std::string Router::nearest(std::string_view method, std::string_view path) const {
  path = path.substr(0, kShownBytesMax);
  const auto far = [&](const Paths::value_type& entry) {
    return distance(path, entry.first, entry.second.contains(method));
  };
  const Paths::value_type* best = nullptr;
  for (const auto& entry : paths_) {
    if (best == nullptr || far(entry) < far(*best)) best = &entry;
  }
  if (best == nullptr) return "";
  const std::string_view its = best->second.contains(method) ? method : std::string_view(best->second.begin()->first);
  return absl::StrCat("; the nearest is ", std::string(its), " ", best->first);
}

std::string Router::miss(const Match& match, std::string_view method, std::string_view path) const {
  if (!match.path.empty()) {
    return absl::StrCat(shown(path), " does not take ", shown(method), "; it takes ", match.allow);
  }
  return absl::StrCat("there is no ", shown(method), " ", shown(path), nearest(method, path));
}

}  // namespace polymath::server
