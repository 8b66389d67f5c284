// Fuzzes the HTTP parser. Bytes in reads of any size are refused, or become a valid request.
// The first input byte sets the sizes of the reads.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/request_parser.h"

namespace {

using polymath::server::HttpLimits;
using polymath::server::RequestParser;
using Step = RequestParser::Step;

HttpLimits small_limits() {
  HttpLimits limits;
  limits.header_bytes_max = 512;
  limits.target_bytes_max = 128;
  limits.body_bytes_max = 1024;
  return limits;
}

void check_request(RequestParser& parser, const HttpLimits& limits) {
  auto& request = parser.request();
  CHECK(!request.method.empty());
  CHECK(request.path == "*" || request.path.find('\0') == std::string::npos);
  CHECK(request.body.size() <= limits.body_bytes_max);
  size_t header_bytes = 0;
  for (const auto& [name, value] : request.headers) {
    header_bytes += name.size() + value.size();
    CHECK(!name.empty());
    CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    for (const char c : name) CHECK(c < 'A' || c > 'Z');
  }
  CHECK(header_bytes <= limits.header_bytes_max);
}

// Reads requests until the end or a refusal. Returns a summary.
std::string run(std::string_view input, size_t cut) {
  const HttpLimits limits = small_limits();
  std::string summary, pending;
  size_t at = 0;
  for (int requests = 0; requests < 16; ++requests) {
    RequestParser parser(limits);
    while (true) {
      size_t consumed = 0;
      const Step step = parser.feed(pending, consumed);
      CHECK(consumed <= pending.size());
      pending.erase(0, consumed);
      if (step == Step::kHead) continue;
      if (step == Step::kRefused) {
        CHECK(parser.refusal().status >= 400);
        return summary + "refused";
      }
      if (step == Step::kComplete) break;
      if (at == input.size()) return summary + "more";
      const std::string_view next = input.substr(at, cut);
      at += next.size();
      pending += next;
    }
    check_request(parser, limits);
    summary += parser.request().method + " " + parser.request().path + " " + parser.request().body + "\n";
  }
  return summary;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = run(input, input.size() + 1);
  const std::string cut = run(input, 1 + data[0] % 16);
  // A refusal may come earlier or later, with another status. Requests must be the same.
  if (whole != cut) {
    const size_t n = std::min(whole.rfind('\n') + 1, cut.rfind('\n') + 1);
    CHECK(whole.compare(0, n, cut, 0, n) == 0);
  }
  return 0;
}
