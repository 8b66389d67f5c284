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

std::optional<Authority> parse_authority(std::string_view text) {
  Authority out{.v6 = text.starts_with('[')};
  const size_t host_end = out.v6 ? text.find(']') : std::min(text.find(':'), text.size());
  if (host_end == text.npos) return std::nullopt;
  out.host = std::string(text.substr(out.v6, host_end - out.v6));
  text.remove_prefix(host_end + out.v6);
  if (out.host.empty()) return std::nullopt;
  if (text.empty()) return out;
  const bool port = text.starts_with(':') && absl::SimpleAtoi(std::string(text.substr(1)), &out.port);
  if (!port || out.port < 1 || out.port > 65535) return std::nullopt;
  return out;
}

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
  const auto authority = parse_authority(rest.substr(0, authority_end));
  if (!authority) return bad_url(text);
  const bool named = std::all_of(authority->host.begin(), authority->host.end(), [v6 = authority->v6](char c) {
    return v6 ? absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.' : is_host_char(c);
  });
  if (!named) return bad_url(text);
  Url url{.tls = tls, .host = absl::AsciiStrToLower(authority->host), .port = tls ? 443 : 80};
  if (authority->port != 0) url.port = authority->port;
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
