#include "commands/http/url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/printable.h"

namespace polymath::commands::http {
namespace {

constexpr size_t kUrlBytesMax = 16 << 10;  // signed ones of object stores have 2 KiB; longer: kInvalidArgument
constexpr size_t kShownBytes = 200;

bool is_host_char(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

absl::Status bad_url(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("`", base::printable(text.substr(0, kShownBytes)), "` is no URL"));
}

}  // namespace

std::string Url::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  const bool usual = port == (tls ? 443 : 80);
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "", usual ? "" : absl::StrCat(":", port));
}

std::string Url::text() const {
  return absl::StrCat(tls ? "https://" : "http://", authority(), path.substr(0, path.find('?')));
}

absl::StatusOr<Url> parse_url(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  const bool tls = text.starts_with("https://");
  if (!plain || text.size() > kUrlBytesMax || (!tls && !text.starts_with("http://"))) return bad_url(text);
  const std::string_view rest = text.substr(tls ? 8 : 7);
  const size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, authority_end);
  Url url{.tls = tls, .port = tls ? 443 : 80};
  const bool v6 = authority.starts_with('[');
  const size_t host_end = v6 ? authority.find(']') : std::min(authority.find(':'), authority.size());
  if (host_end == authority.npos) return bad_url(text);
  url.host = absl::AsciiStrToLower(std::string(authority.substr(v6, host_end - v6)));
  const bool named = !url.host.empty() && std::all_of(url.host.begin(), url.host.end(), [v6](char c) {
    return v6 ? absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.' : is_host_char(c);
  });
  if (!named) return bad_url(text);
  authority.remove_prefix(host_end + v6);
  if (!authority.empty()) {
    const bool port = authority.starts_with(':') && absl::SimpleAtoi(std::string(authority.substr(1)), &url.port);
    if (!port || url.port < 1 || url.port > 65535) return bad_url(text);
  }
  const std::string_view path = rest.substr(authority_end);
  url.path = std::string(path.substr(0, path.find('#')));
  if (!url.path.starts_with('/')) url.path.insert(0, "/");
  return url;
}

absl::StatusOr<Url> follow(const Url& base, std::string_view reference) {
  const std::string scheme = base.tls ? "https:" : "http:";
  if (reference.starts_with("//")) return parse_url(absl::StrCat(scheme, std::string(reference)));
  const std::string origin = absl::StrCat(scheme, "//", base.authority());
  if (reference.starts_with('/')) return parse_url(absl::StrCat(origin, std::string(reference)));
  if (reference.starts_with('?')) {
    return parse_url(absl::StrCat(origin, base.path.substr(0, base.path.find('?')), std::string(reference)));
  }
  return parse_url(reference);
}

std::string encoded(std::string_view text, std::string_view also) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool kept = absl::ascii_isalnum(byte) || std::string_view("-._~").find(c) != std::string_view::npos;
    if (kept || also.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

}  // namespace polymath::commands::http
