#pragma once

// The server under load: its address, and requests to it as bytes.

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::commands::http {

struct Target {
  std::string host;  // a name or an address, without brackets
  int port = 80;
  std::string base_path;             // before every path; no / at its end
  std::vector<std::string> headers;  // "Name: value", with every request

  std::string authority() const;  // "host:port"
};

// "http://host[:port][/path]". kUnimplemented: https. kInvalidArgument: anything else.
absl::StatusOr<Target> parse_base_url(std::string_view url);

// A header of the caller's, "Name=value" or "Name: value". kInvalidArgument: no header, or one of the framing.
absl::StatusOr<std::string> parse_header(std::string_view text);

// A head and its body. An empty body: GET, else POST of JSON.
std::string request_bytes(const Target& target, std::string_view path, std::string_view body);

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

// Every address of the host, in the resolver's order. Blocks. kUnavailable: it has none.
absl::StatusOr<std::vector<Address>> resolve(const Target& target);

// A socket that connects without blocking; the caller closes it. kUnavailable: refused at once, or no descriptors.
absl::StatusOr<int> start_connect(const Address& address);

// How a connect ended. kUnavailable with the system's sentence.
absl::Status connect_result(int fd);

}  // namespace polymath::commands::http
