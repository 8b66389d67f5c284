#include "http_client.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace polymath::test {
namespace {

int connect_to(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

void send_all(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;
    sent += static_cast<size_t>(n);
  }
}

std::string request_text(const std::string& method, const std::string& path, const std::string& body,
                         const std::string& extra) {
  return method + " " + path +
         " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + extra + "\r\n" + body;
}

std::string dechunk(const std::string& text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t line = text.find("\r\n", at);
    if (line == std::string::npos) break;
    const size_t n = std::strtoul(text.c_str() + at, nullptr, 16);
    if (n == 0) break;
    out += text.substr(line + 2, n);
    at = line + 2 + n + 2;
  }
  return out;
}

}  // namespace

HttpAnswer http_request(uint16_t port, const std::string& method, const std::string& path, const std::string& body,
                        const std::string& extra) {
  HttpAnswer answer;
  const int fd = connect_to(port);
  if (fd < 0) return answer;
  send_all(fd, request_text(method, path, body, extra));
  std::string all;
  char buffer[4096];
  for (ssize_t n = 0; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) all.append(buffer, static_cast<size_t>(n));
  close(fd);
  const size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos) return answer;
  answer.head = all.substr(0, end);
  answer.status = std::atoi(answer.head.c_str() + answer.head.find(' ') + 1);
  answer.body = all.substr(end + 4);
  if (answer.head.find("chunked") != std::string::npos) answer.body = dechunk(answer.body);
  return answer;
}

void http_request_and_leave(uint16_t port, const std::string& path, const std::string& body) {
  const int fd = connect_to(port);
  if (fd < 0) return;
  send_all(fd, request_text("POST", path, body, ""));
  char buffer[64];
  recv(fd, buffer, sizeof(buffer), 0);
  close(fd);
}

}  // namespace polymath::test
