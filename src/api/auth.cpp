#include "api/auth.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "api/dialects.h"

namespace polymath::api {
namespace {

base::Digest digest_of(std::string_view text) {
  base::Sha256 sha;
  sha.update(text.data(), text.size());
  return sha.finish();
}

// The key of "Bearer <key>"; the scheme in any case (RFC 9110).
std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() < kScheme.size()) return {};
  const bool matches = std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char want, char have) {
    return want == static_cast<char>(std::tolower(static_cast<unsigned char>(have)));
  });
  return matches ? authorization.substr(kScheme.size()) : std::string_view{};
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(digest_of(key));
}

bool ApiKeys::allows(std::string_view authorization) const {
  const std::string_view key = bearer(authorization);
  const base::Digest digest = digest_of(key);
  bool found = false;
  for (const base::Digest& known : digests_) {
    unsigned difference = 0;
    for (size_t i = 0; i < digest.size(); ++i) difference |= static_cast<unsigned>(digest[i] ^ known[i]);
    found |= difference == 0;
  }
  return found && !key.empty();
}

std::unique_ptr<server::HttpServer::Refusal> ApiKeys::check(const server::HttpRequest& request) const {
  // A browser's preflight carries no key.
  if (is_open(request.path) || request.method == "OPTIONS" || allows(request.header("authorization"))) return nullptr;
  ErrorReply error =
      dialect_of(request.path).error_body({401, "the Authorization header must be `Bearer` and a valid key"});
  return std::make_unique<server::HttpServer::Refusal>(
      server::HttpServer::Refusal{error.http_status, std::move(error.body), {{"WWW-Authenticate", "Bearer"}}});
}

}  // namespace polymath::api
