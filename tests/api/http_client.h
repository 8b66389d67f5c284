#pragma once

// Sends one HTTP/1.1 request and reads the whole answer.

#include <cstdint>
#include <string>

namespace polymath::test {

struct HttpAnswer {
  int status = 0;
  std::string head;  // status line and headers
  std::string body;  // without chunk marks
};

// `extra`: header lines, each ended by "\r\n".
HttpAnswer http_request(uint16_t port, const std::string& method, const std::string& path, const std::string& body,
                        const std::string& extra = "");

// Sends the request, reads the first bytes, and closes the socket.
void http_request_and_leave(uint16_t port, const std::string& path, const std::string& body);

}  // namespace polymath::test
