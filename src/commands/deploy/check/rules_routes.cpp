// HTTPRoutes: the CEL rules of the Gateway API 1.2, and what streams of a model need.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "commands/deploy/check/check.h"

namespace polymath::commands {
namespace {

constexpr const char* kFilterMembers[][2] = {{"URLRewrite", "urlRewrite"},
                                             {"RequestRedirect", "requestRedirect"},
                                             {"RequestHeaderModifier", "requestHeaderModifier"},
                                             {"ResponseHeaderModifier", "responseHeaderModifier"},
                                             {"RequestMirror", "requestMirror"},
                                             {"ExtensionRef", "extensionRef"}};

void check_modifier(const Object& route, const base::JsonValue& path, Complaints& complaints) {
  const std::string type = text_at(path, "type");
  const std::pair<const char*, const char*> members[] = {{"ReplacePrefixMatch", "replacePrefixMatch"},
                                                         {"ReplaceFullPath", "replaceFullPath"}};
  for (const auto& [name, member] : members) {
    if ((type == name) != (value_at(path, member) != nullptr)) {
      complaints.add(route, absl::StrCat(member, " must be set where path.type is ", name, ", and only there"));
    }
  }
}

// Whether a filter of the rule replaces the prefix.
bool check_filters(const Object& route, const base::JsonValue& rule, Complaints& complaints) {
  std::set<std::string> types;
  bool replaces = false;
  for (const base::JsonValue* filter : list_at(rule, "filters")) {
    const std::string type = text_at(*filter, "type");
    const bool repeats = type == "RequestMirror" || type == "ExtensionRef";
    if (!types.insert(type).second && !repeats)
      complaints.add(route, absl::StrCat("the filter ", type, " is repeated"));
    for (const auto& [name, member] : kFilterMembers) {
      if ((type == name) != (value_at(*filter, member) != nullptr)) {
        complaints.add(route, absl::StrCat(member, " must be set in a filter of type ", name, ", and only there"));
      }
    }
    for (const char* member : {"urlRewrite", "requestRedirect"}) {
      const base::JsonValue* path = value_at(*filter, absl::StrCat(member, ".path"));
      if (path == nullptr) continue;
      check_modifier(route, *path, complaints);
      replaces |= text_at(*path, "type") == "ReplacePrefixMatch";
    }
  }
  if (types.contains("URLRewrite") && types.contains("RequestRedirect")) {
    complaints.add(route, "URLRewrite and RequestRedirect exclude each other");
  }
  return replaces;
}

void check_matches(const Object& route, const base::JsonValue& rule, bool replaces, Complaints& complaints) {
  const auto matches = list_at(rule, "matches");
  const auto is_prefix = [](const base::JsonValue* match) {
    const std::string type = text_at(*match, "path.type");
    return type == "PathPrefix" || type.empty();
  };
  if (replaces && (matches.size() != 1 || !is_prefix(matches.front()))) {
    complaints.add(route, "replacePrefixMatch needs exactly one match in its rule, of type PathPrefix");
  }
  for (const base::JsonValue* match : matches) {
    const std::string path = text_at(*match, "path.value");
    if (!path.empty() && path.front() != '/') complaints.add(route, absl::StrCat("path ", path, ": must begin with /"));
    const bool own_prefix = path.starts_with("/v1/") && is_prefix(match) && list_at(rule, "filters").empty();
    constexpr std::string_view kRoutes[] = {"/v1/chat", "/v1/completions", "/v1/models", "/v1/embeddings"};
    const bool is_api =
        std::any_of(std::begin(kRoutes), std::end(kRoutes), [&](auto r) { return path.starts_with(r); });
    if (own_prefix && !is_api) {
      complaints.add(route,
                     absl::StrCat("the server would see ", path, ", which it does not have: add a URLRewrite to /v1"));
    }
  }
}

void check_backends(const Objects& objects, const Object& route, const base::JsonValue& rule, Complaints& complaints) {
  for (const base::JsonValue* backend : list_at(rule, "backendRefs")) {
    const std::string name = text_at(*backend, "name"), kind = text_at(*backend, "kind");
    const std::string space = value_at(*backend, "namespace") != nullptr ? text_at(*backend, "namespace") : route.space;
    const Object* target = objects.find(kind.empty() ? "Service" : kind, space, name);
    if (target == nullptr) {
      complaints.add(route, absl::StrCat("the backend ", name, " is not in these files"));
      continue;
    }
    if (target->kind != "Service") continue;
    const std::string port = text_at(*backend, "port");
    const auto ports = list_at(target->value, "spec.ports");
    const bool found = std::any_of(ports.begin(), ports.end(), [&](auto* p) { return text_at(*p, "port") == port; });
    if (!found) complaints.add(route, absl::StrCat("port ", port, " is no port of the Service ", name));
  }
}

// A stream lasts as long as its answer.
void check_timeouts(const Object& route, const base::JsonValue& rule, Complaints& complaints) {
  if (list_at(rule, "backendRefs").empty()) return;
  const std::string timeout = text_at(rule, "timeouts.request");
  if (timeout.empty()) complaints.add(route, "timeouts.request: is missing; gateways end streams early: set 0s");
  if (!timeout.empty() && timeout != "0s") complaints.add(route, "timeouts.request: ends longer streams; set 0s");
}

}  // namespace

void check_routes(const Objects& objects, Complaints& complaints) {
  std::set<std::string> seen;  // host and match
  for (const Object* route : objects.of_kind("HTTPRoute")) {
    if (list_at(route->value, "spec.parentRefs").empty()) complaints.add(*route, "spec.parentRefs: no Gateway has it");
    for (const base::JsonValue* rule : list_at(route->value, "spec.rules")) {
      const bool replaces = check_filters(*route, *rule, complaints);
      check_matches(*route, *rule, replaces, complaints);
      check_backends(objects, *route, *rule, complaints);
      check_timeouts(*route, *rule, complaints);
      const base::JsonValue *hosts = value_at(route->value, "spec.hostnames"), *matches = value_at(*rule, "matches");
      if (hosts == nullptr || matches == nullptr) continue;
      if (!seen.insert(absl::StrCat(base::to_text(*hosts), base::to_text(*matches))).second) {
        complaints.add(*route, "another rule has the same hosts and matches");
      }
    }
  }
}

}  // namespace polymath::commands
