// Fuzzes the parsers of tool calls and reasoning. What a text means does not depend on how it is cut. Every call that
// begins ends.
//
// Input: four bytes, then text. They choose the call format, the reasoning format, where the text begins, and the
// length of its pieces.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "text/output/output_parser.h"

namespace {

using namespace polymath::text;  // NOLINT(google-build-using-namespace)

constexpr size_t kTextMax = 1u << 16;

struct Joined {
  std::string content, reasoning, calls;
  bool operator==(const Joined&) const = default;
};

Joined parse(const OutputFormat& format, const OutputOptions& options, std::string_view text, size_t piece) {
  const auto parser = make_output_parser(format, options);
  OutputEvents events;
  for (size_t at = 0; at < text.size(); at += piece) parser->push(text.substr(at, piece), events);
  parser->finish(events);
  Joined out;
  bool in_call = false;
  for (const OutputEvent& event : events) {
    const bool of_call = event.kind == OutputKind::kArguments || event.kind == OutputKind::kCallEnd;
    CHECK(in_call == of_call);
    in_call = event.kind == OutputKind::kCallBegin || event.kind == OutputKind::kArguments;
    if (event.kind == OutputKind::kContent) out.content += event.text;
    if (event.kind == OutputKind::kReasoning) out.reasoning += event.text;
    if (event.kind == OutputKind::kCallBegin) out.calls += "\n" + event.text + " " + event.id + " ";
    if (event.kind == OutputKind::kArguments) out.calls += event.text;
  }
  CHECK(!in_call);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4 || size > kTextMax) return 0;
  const auto calls = call_formats();
  const auto reasonings = reasoning_formats();
  OutputFormat format;
  if (data[0] % (calls.size() + 1) < calls.size()) format.calls = &calls[data[0] % (calls.size() + 1)];
  if (data[1] % (reasonings.size() + 1) < reasonings.size())
    format.reasoning = &reasonings[data[1] % (reasonings.size() + 1)];
  if (format.is_plain()) return 0;
  const OutputOptions options{.in_reasoning = (data[2] & 1) != 0 && format.reasoning != nullptr, .types = nullptr};
  const std::string_view text(reinterpret_cast<const char*>(data) + 4, size - 4);
  const Joined whole = parse(format, options, text, text.size() + 1);
  CHECK(parse(format, options, text, 1) == whole);
  CHECK(parse(format, options, text, 1 + data[3] % 32) == whole);
  return 0;
}
