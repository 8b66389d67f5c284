#pragma once

// A request target, taken apart: "/v1/models?limit=3" -> path "/v1/models", query "limit=3".
// Source: RFC 9112 section 3.2, RFC 3986 section 2.1.

#include <string>
#include <string_view>

namespace polymath::server {

struct Target {
  std::string path;   // percent-decoded; "*" for the asterisk form
  std::string query;  // undecoded
};

// Whether a text is `host` or `host:port`: a name, an IPv4 address, or an IPv6 address in brackets. Empty: also.
bool is_authority(std::string_view text);

// Knows the origin form ("/a?b"), the absolute form ("http://host/a?b") and "*".
// False: an unknown form, a fragment, a bad escape, or a NUL in the path.
bool split_target(std::string_view text, Target& out);

}  // namespace polymath::server
