#pragma once

// Absolute URLs of http and https (RFC 3986), as far as a client that follows redirects needs them. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace polymath::commands::http {

// "host[:port]", or with an address in brackets.
struct Authority {
  std::string host;  // without brackets
  bool v6 = false;   // it had brackets
  int port = 0;      // 0: none is named
};
// Nullopt: an empty host, or a port that is not 1 to 65535.
std::optional<Authority> parse_authority(std::string_view text);

struct Url {
  bool tls = false;
  std::string host;  // lower case, without brackets
  int port = 80;
  std::string path = "/";  // with the query; begins with /

  std::string authority() const;  // "host" or "host:port": as the Host header has it
  std::string text() const;       // without the query, which may carry a signature
  // Whether a secret for `other` may go here, too.
  bool same_origin(const Url& other) const { return tls == other.tls && host == other.host && port == other.port; }
};

// "https://host[:port][/path][?query]"; a fragment is dropped. kInvalidArgument: anything else, with user info, a
// control character or a blank, or longer than 16 KiB.
absl::StatusOr<Url> parse_url(std::string_view text);

// What a Location or Link header of `base` names: an absolute URL, "//host/...", "/path" or "?query". Errors are
// parse_url()'s; other relative references are kInvalidArgument.
absl::StatusOr<Url> follow(const Url& base, std::string_view reference);

// Percent-encodes everything but unreserved characters and `also`.
std::string encoded(std::string_view text, std::string_view also = "");

}  // namespace polymath::commands::http
