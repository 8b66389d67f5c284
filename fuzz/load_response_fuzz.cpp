// Fuzzes how the load generator reads answers: an HTTP response, its events, and what they say in each dialect.
// Cuts change neither body nor events. The first input byte sets the sizes of the reads.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "commands/http/response.h"
#include "commands/http/sse.h"
#include "commands/load/dialect.h"
#include "commands/load/token_count.h"

namespace {

using polymath::commands::http::ResponseLimits;
using polymath::commands::http::ResponseParser;
using polymath::commands::http::SseSplitter;

constexpr size_t kEventBytes = 512;

struct Outcome {
  std::string body;
  std::vector<std::string> events;
  int status = 0;
  bool refused = false, complete = false;
};

Outcome read(std::string_view input, size_t cut) {
  const ResponseLimits limits{.head_bytes_max = 512, .body_bytes_max = 2048};
  ResponseParser parser(limits);
  SseSplitter splitter(kEventBytes);
  Outcome out;
  for (size_t at = 0; at < input.size() && !parser.complete(); at += cut) {
    const std::string_view bytes = input.substr(at, cut);
    std::string piece;
    const auto taken = parser.feed(bytes, piece);
    CHECK(!taken.ok() || *taken <= bytes.size());
    CHECK(!taken.ok() || *taken == bytes.size() || parser.complete());
    out.body += piece;
    const auto split = splitter.feed(piece, [&](std::string_view event) {
      CHECK(event.size() <= kEventBytes);
      out.events.emplace_back(event);
      return absl::OkStatus();
    });
    out.refused = !taken.ok() || !split.ok();
    if (out.refused) return out;
  }
  CHECK(out.body.size() <= limits.body_bytes_max);
  out.complete = parser.end_of_stream().ok();
  out.status = parser.head().status;
  CHECK(!out.complete || (out.status >= 200 && out.status <= 999));
  return out;
}

// Token counts are never negative and never beyond what was said.
void check_dialects(const std::vector<std::string>& events) {
  using namespace polymath::commands::load;
  for (const Dialect& dialect : dialects()) {
    TokenCount count;
    int64_t sum = 0;
    for (const std::string& event : events) {
      const auto json = polymath::base::parse_json(event, {.bytes_max = kEventBytes});
      if (!json.ok()) continue;
      const int tokens = count.add(dialect.read(*json));
      CHECK(tokens >= 0);
      sum += tokens;
    }
    CHECK(count.total() >= sum);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = read(input, input.size() + 1);
  const Outcome cut = read(input, 1 + data[0] % 16);
  // Cut bytes may be refused earlier. What was read before is the same.
  CHECK(whole.refused == cut.refused);
  const size_t n = std::min(whole.events.size(), cut.events.size());
  CHECK(std::equal(whole.events.begin(), whole.events.begin() + static_cast<int64_t>(n), cut.events.begin()));
  if (!whole.refused) {
    CHECK(whole.body == cut.body && whole.events == cut.events);
    CHECK(whole.complete == cut.complete && whole.status == cut.status);
  }
  check_dialects(whole.events);
  (void)polymath::commands::load::error_text(whole.body);
  return 0;
}
