// The environment that names a hub: the variables of huggingface_hub.

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/read_file.h"
#include "commands/pull/hub.h"
#include "weights/hub_cache.h"

namespace polymath::commands {
namespace {

constexpr const char* kDefaultEndpoint = "https://huggingface.co";
constexpr size_t kTokenBytesMax = 4096;       // longer: kInvalidArgument
constexpr double kTimeoutSecondsMax = 86400;  // longer: kInvalidArgument

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : std::string(absl::StripAsciiWhitespace(value));
}

bool is_on(const char* name) {
  const std::string value = absl::AsciiStrToUpper(variable(name));
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

absl::StatusOr<std::string> token_of_environment() {
  std::string token, from;
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (token = variable(name), from = name; !token.empty()) break;
  }
  if (token.empty()) {
    const std::string named = variable("HF_TOKEN_PATH");
    from = named.empty() ? (weights::hub_home() / "token").string() : named;
    const auto text = base::read_file(from, kTokenBytesMax);
    if (text.ok()) token = std::string(absl::StripAsciiWhitespace(*text));
  }
  const bool plain = std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (plain && token.size() <= kTokenBytesMax) return token;
  return absl::InvalidArgumentError(absl::StrCat(from, ": holds no token: it has blanks or control characters"));
}

// Said once: a machine behind a proxy would only see time-outs.
void warn_about_proxies(const http::Url& endpoint) {
  for (const char* name : {"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}) {
    if (!endpoint.tls || variable(name).empty()) continue;
    base::log_warning("pull", name, " is set, but proxies are not built: connecting to ", endpoint.authority(),
                      " itself");
    return;
  }
}

}  // namespace

absl::StatusOr<HubSettings> HubSettings::from_environment() {
  if (is_on("HF_HUB_OFFLINE")) return absl::FailedPreconditionError("HF_HUB_OFFLINE is set: nothing is downloaded");
  HubSettings out;
  const std::string named = variable("HF_ENDPOINT");
  const auto endpoint = http::parse_url(named.empty() ? kDefaultEndpoint : named);
  if (!endpoint.ok() || endpoint->path.find('?') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("HF_ENDPOINT: ", endpoint.status().message()));
  }
  out.endpoint = *endpoint;
  ASSIGN_OR_RETURN(out.token, token_of_environment());
  if (const std::string seconds = variable("HF_HUB_DOWNLOAD_TIMEOUT"); !seconds.empty()) {
    const bool number = absl::SimpleAtod(seconds, &out.timeout_s);
    if (!number || !(out.timeout_s > 0) || out.timeout_s > kTimeoutSecondsMax) {
      return absl::InvalidArgumentError("HF_HUB_DOWNLOAD_TIMEOUT: must be seconds, more than 0");
    }
  }
  const bool local = out.endpoint.host == "localhost" || out.endpoint.host.starts_with("127.");
  if (!out.endpoint.tls && !local && !out.token.empty()) {
    base::log_warning("pull", "the token goes to ", out.endpoint.authority(),
                      " without encryption: HF_ENDPOINT is http");
  }
  warn_about_proxies(out.endpoint);
  return out;
}

}  // namespace polymath::commands
