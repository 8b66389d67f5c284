#include "commands/http/target.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "commands/http/url.h"

namespace polymath::commands::http {
namespace {

constexpr std::string_view kControls("\0\r\n", 3);

absl::Status unavailable(std::string_view what) {
  return absl::UnavailableError(absl::StrCat(std::string(what), ": ", std::strerror(errno)));
}

bool is_token(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

}  // namespace

std::string Target::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

absl::StatusOr<Target> parse_base_url(std::string_view url) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(url), "` is no http://host:port"));
  };
  if (url.starts_with("https:")) {
    return absl::UnimplementedError("https is not built: name the server's plain HTTP port, or a proxy's");
  }
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme) || url.find_first_of(" \t\r\n?#@") != std::string_view::npos) return bad();
  const std::string_view rest = url.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  auto authority = parse_authority(rest.substr(0, slash));
  if (!authority) return bad();
  Target target{.host = std::move(authority->host)};
  if (authority->port != 0) target.port = authority->port;
  target.base_path = std::string(rest.substr(slash));
  while (target.base_path.ends_with('/')) target.base_path.pop_back();
  return target;
}

absl::StatusOr<std::string> parse_header(std::string_view text) {
  const size_t at = text.find_first_of("=:");
  const std::string name(text.substr(0, at));
  if (at == std::string_view::npos || !is_token(name) || text.find_first_of(kControls) != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` is no NAME=VALUE"));
  }
  for (const char* framing : {"host", "content-length", "transfer-encoding", "connection", "content-type"}) {
    if (absl::AsciiStrToLower(name) == framing) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is written by the client itself"));
    }
  }
  return absl::StrCat(name, ": ", std::string(absl::StripAsciiWhitespace(std::string(text.substr(at + 1)))));
}

std::string request_bytes(const Target& target, std::string_view path, std::string_view body) {
  std::string out =
      absl::StrCat(body.empty() ? "GET " : "POST ", target.base_path, std::string(path),
                   " HTTP/1.1\r\nHost: ", target.authority(), "\r\nUser-Agent: polymath-bench\r\nAccept: */*\r\n");
  for (const std::string& header : target.headers) absl::StrAppend(&out, header, "\r\n");
  if (!body.empty()) absl::StrAppend(&out, "Content-Type: application/json\r\nContent-Length: ", body.size(), "\r\n");
  out += "\r\n";
  out += body;
  return out;
}

absl::StatusOr<std::vector<Address>> resolve(const Target& target) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
  if (code != 0) return absl::UnavailableError(absl::StrCat(target.host, ": ", gai_strerror(code)));
  std::vector<Address> out;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (info->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address& address = out.emplace_back();
    std::memcpy(&address.bytes, info->ai_addr, info->ai_addrlen);
    address.length = info->ai_addrlen;
  }
  freeaddrinfo(found);
  if (out.empty()) return absl::UnavailableError(absl::StrCat(target.host, ": no address"));
  return out;
}

absl::StatusOr<int> start_connect(const Address& address) {
  const int fd = socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return unavailable("socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address.bytes), address.length) != 0 && errno != EINPROGRESS) {
    const absl::Status status = unavailable("connect");
    close(fd);
    return status;
  }
  return fd;
}

absl::Status connect_result(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return unavailable("connect");
  errno = error;
  return error == 0 ? absl::OkStatus() : unavailable("connect");
}

}  // namespace polymath::commands::http
