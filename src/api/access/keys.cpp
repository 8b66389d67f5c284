#include "api/access/keys.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

constexpr size_t kNameBytesMax = 64;  // longer: refused

// The key of "Bearer <key>"; the scheme in any case (RFC 9110).
std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() < kScheme.size()) return {};
  const bool matches = std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char want, char have) {
    return want == static_cast<char>(std::tolower(static_cast<unsigned char>(have)));
  });
  return matches ? authorization.substr(kScheme.size()) : std::string_view{};
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether --api-key or --admin-key names a key so.
bool is_taken(std::string_view name) {
  if (name == "admin") return true;
  return name.size() > 3 && name.starts_with("key") && std::all_of(name.begin() + 3, name.end(), is_digit);
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
}

absl::StatusOr<NamedSecret> parse_line(std::string_view line) {
  const size_t blank = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view name = line.substr(0, blank), secret = trim(line.substr(blank));
  if (!is_name(name)) return absl::InvalidArgumentError("a name has 1 to 64 letters, digits, dots, _ and -");
  if (is_taken(name)) return absl::InvalidArgumentError("the names admin and key1, key2 ... are taken");
  if (secret.empty()) return absl::InvalidArgumentError("a line is `name secret`");
  const bool printable = std::all_of(secret.begin(), secret.end(), [](char c) { return c > ' ' && c < 127; });
  if (!printable) return absl::InvalidArgumentError("a secret has printable ASCII without blanks");
  return NamedSecret{std::string(name), std::string(secret)};
}

}  // namespace

absl::StatusOr<std::vector<NamedSecret>> parse_key_file(std::string_view text) {
  std::vector<NamedSecret> out;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    auto secret = parse_line(line);
    if (!secret.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", secret.status().message()));
    }
    out.push_back(*std::move(secret));
    if (out.size() > kKeysMax) return absl::InvalidArgumentError(absl::StrCat("more than ", kKeysMax, " keys"));
  }
  if (out.empty()) return absl::InvalidArgumentError("there is no key in it");
  return out;
}

base::Digest digest_of_key(std::string_view secret) {
  base::Sha256 sha;
  sha.update(secret.data(), secret.size());
  return sha.finish();
}

const ApiKeys::Key* ApiKeys::find(std::string_view authorization) const {
  const std::string_view secret = bearer(authorization);
  const base::Digest digest = digest_of_key(secret);
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    unsigned difference = 0;
    for (size_t i = 0; i < digest.size(); ++i) difference |= static_cast<unsigned>(digest[i] ^ key.digest[i]);
    if (difference == 0) found = &key;
  }
  return secret.empty() ? nullptr : found;
}

}  // namespace polymath::api
