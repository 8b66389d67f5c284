#include "api/access/local_rules.h"

#include <algorithm>
#include <cctype>

namespace polymath::api {
namespace {

using server::HttpRequest;

constexpr LocalRules::Breach kNotLocal{
    403, "not_local",
    "this server has no API key, so it answers its own machine alone; start it with --api-key or --api-key-file, or "
    "with --allow-anonymous to let everyone call it"};
constexpr LocalRules::Breach kOtherHost{
    403, "host",
    "this server has no API key, so the Host header must name this machine, as localhost does; start it with --api-key "
    "or --api-key-file, or with --allow-anonymous"};
constexpr LocalRules::Breach kOtherOrigin{
    403, "origin",
    "this server has no API key, so web pages of other origins may not call it; name them with --allowed-origins, or "
    "start it with --api-key"};
constexpr LocalRules::Breach kOtherType{415, "content_type", "Content-Type must be application/json"};

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

// "[::1]:80" -> "::1"; "localhost:80" -> "localhost".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, std::max<size_t>(host.find(']'), 1) - 1);
  return host.substr(0, host.find(':'));
}

// Dotted numbers only: a name such as 127.0.0.1.example.org is some other machine.
bool is_loopback_v4(std::string_view host) {
  const bool numbers = std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  return numbers && host.starts_with("127.") && std::count(host.begin(), host.end(), '.') == 3;
}

bool names_this_machine(std::string_view host) {
  constexpr std::string_view kSuffix = ".localhost";
  if (same_text(host, "localhost") || host == "::1" || is_loopback_v4(host)) return true;
  return host.size() > kSuffix.size() && same_text(host.substr(host.size() - kSuffix.size()), kSuffix);
}

// "http://localhost:8000" -> "localhost:8000".
std::string_view authority_of(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view{} : origin.substr(scheme + 3);
}

bool is_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return same_text(type, "application/json");
}

}  // namespace

std::vector<std::string_view> LocalRules::reasons() {
  return {kNotLocal.reason, kOtherHost.reason, kOtherOrigin.reason, kOtherType.reason};
}

std::optional<LocalRules::Breach> LocalRules::check(const HttpRequest& head) const {
  if (!head.local) return kNotLocal;
  const std::string_view host_header = head.header("host");
  const std::string_view name = without_port(host_header);
  const bool over_network = head.address != "unix";  // a browser reaches no Unix socket
  if (over_network && !name.empty() && !names_this_machine(name) && !same_text(name, host)) return kOtherHost;
  const std::string_view origin = head.header("origin");
  const bool allowed = std::any_of(allowed_origins.begin(), allowed_origins.end(),
                                   [&](const std::string& a) { return a == "*" || a == origin; });
  if (!origin.empty() && !allowed && !same_text(authority_of(origin), host_header)) return kOtherOrigin;
  const std::string_view type = head.header("content-type");
  if (head.method == "POST" && !type.empty() && !is_json(type)) return kOtherType;
  return std::nullopt;
}

}  // namespace polymath::api
