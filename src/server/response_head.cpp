#include "server/response_head.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "absl/strings/match.h"
#include "base/check.h"
#include "base/log.h"

namespace polymath::server {
namespace {

std::string_view reason(int status) {
  static constexpr std::pair<int, std::string_view> kReasons[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {424, "Failed Dependency"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
  };
  for (const auto& [code, text] : kReasons) {
    if (code == status) return text;
  }
  return "Status";
}

// IMF-fixdate, remade once a second in each thread. strftime would follow the locale.
const std::string& date_now() {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local std::time_t made_at = -1;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::array<char, 64> out;
    std::snprintf(out.data(), out.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday], utc.tm_mday,
                  kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    text = out.data();
    made_at = now;
  }
  return text;
}

bool is_token(std::string_view name) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  for (const char c : name) {
    const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alphanumeric && kMarks.find(c) == std::string_view::npos) return false;
  }
  return !name.empty();
}

bool is_the_servers(const std::string& name) {
  for (const char* own : {"content-length", "transfer-encoding", "connection", "date", "server", "content-type"}) {
    if (absl::EqualsIgnoreCase(name, own)) return true;
  }
  return false;
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back((byte < 0x20 && c != '\t') || byte == 0x7f ? ' ' : c);
  }
  out += "\r\n";
}

}  // namespace

bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

std::string make_response_head(const ResponseHead& head) {
  CHECK(head.status >= 200 && head.status <= 999);
  std::string out;
  out.reserve(256);
  out += kResponseStart;
  out += std::to_string(head.status);
  out += ' ';
  out += reason(head.status);
  out += "\r\nServer: polymath\r\nDate: ";
  out += date_now();
  out += "\r\n";
  const bool has_body = status_has_body(head.status);
  if (has_body && !head.content_type.empty()) append_header(out, "Content-Type", head.content_type);
  if (has_body && head.content_length) append_header(out, "Content-Length", std::to_string(*head.content_length));
  if (has_body && head.chunked) append_header(out, "Transfer-Encoding", "chunked");
  if (head.close) append_header(out, "Connection", "close");
  if (head.server != nullptr) {
    for (const auto& [name, value] : *head.server) append_header(out, name, value);
  }
  if (head.extra != nullptr) {
    for (const auto& [name, value] : *head.extra) {
      if (is_token(name) && !is_the_servers(name)) {
        append_header(out, name, value);
      } else {
        base::log_warning("server", "response header left out: ", name);
      }
    }
  }
  out += "\r\n";
  return out;
}

void append_chunk(std::string& out, std::string_view data) {
  CHECK(!data.empty());
  std::array<char, 24> size;
  const int n = std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
  out.reserve(out.size() + data.size() + static_cast<size_t>(n) + 2);
  out.append(size.data(), static_cast<size_t>(n));
  out += data;
  out += "\r\n";
}

}  // namespace polymath::server
