#include "api/auth.h"

#include <algorithm>
#include <cctype>

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

std::optional<int> ApiKeys::find(std::string_view authorization) const {
  const std::string_view key = bearer(authorization);
  const base::Digest digest = digest_of(key);
  int found = 0;
  for (size_t k = 0; k < digests_.size(); ++k) {
    unsigned difference = 0;
    for (size_t i = 0; i < digest.size(); ++i) difference |= static_cast<unsigned>(digest[i] ^ digests_[k][i]);
    if (difference == 0) found = static_cast<int>(k) + 1;
  }
  return found > 0 && !key.empty() ? std::optional(found) : std::nullopt;
}

}  // namespace polymath::api
