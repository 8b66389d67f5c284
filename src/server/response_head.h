#pragma once

// The bytes before a response's body, and a chunk's frame. Pure functions.
// Source: RFC 9110, RFC 9112.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "server/http_server.h"

namespace polymath::server {

struct ResponseHead {
  int status = 200;
  std::string_view content_type;         // empty: none
  const HttpHeaders* extra = nullptr;    // see make_response_head
  const HttpHeaders* server = nullptr;   // the server's own (CORS); trusted
  std::optional<size_t> content_length;  // none: a stream
  bool chunked = false;                  // a stream for HTTP/1.1; for 1.0 it ends with the connection
  bool close = false;
};

// From the status line to the empty line. Headers of `extra` with malformed names are logged and left out. So are those
// that the server writes itself:
//   Content-Length, Connection, Transfer-Encoding, Date, Server, Content-Type
// Control characters in a value become spaces, so that no value can begin a header.
std::string make_response_head(const ResponseHead& head);

// 204 and 304 never have a body.
bool status_has_body(int status);

void append_chunk(std::string& out, std::string_view data);  // REQUIRES: !data.empty(); an empty chunk ends the stream
inline constexpr std::string_view kResponseStart = "HTTP/1.1 ";  // of every response, whatever its status
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace polymath::server
