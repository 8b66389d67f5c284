// Fuzzes chat templates over a fixed conversation. A template renders or is refused, within its limits.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/check.h"
#include "text/chat_template.h"

namespace {

const polymath::base::JsonValue& variables() {
  static const auto* const value = new polymath::base::JsonValue(polymath::base::parse_json(R"({
        "messages": [
          {"role": "system", "content": "Be brief. Größe 日本 \"q\" 'x' \\ \n"},
          {"role": "user", "content": [{"type": "text", "text": " hi "}, {"type": "image"}]},
          {"role": "assistant", "content": null,
           "tool_calls": [{"id": "abcdefghi", "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, true]}}}]},
          {"role": "tool", "content": "42"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {
          "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}],
        "s": "Hello World", "i": 7, "f": 2.5, "nums": [3, 1, 2], "names": ["b", "A"], "d": {"b": 1, "a": [1]},
        "yes": true, "no": false, "nil": null, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true
      })",
                                                                                            {})
                                                                     .value());
  return *value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  polymath::text::ChatTemplateLimits limits;  // small, so that they are reached
  limits.steps_max = 50'000;
  limits.output_bytes_max = 1u << 20;
  limits.memory_bytes_max = 8u << 20;
  const auto parsed =
      polymath::text::ChatTemplate::parse(std::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!parsed.ok()) {
    CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    return 0;
  }
  const auto rendered = parsed->render(variables(), 1'771'061'400);
  CHECK(rendered.ok() || rendered.status().code() == absl::StatusCode::kInvalidArgument);
  if (!rendered.ok()) return 0;
  CHECK(rendered->text.size() <= limits.output_bytes_max);
  size_t end = 0;
  for (const polymath::text::ByteRange& range : rendered->generated) {
    CHECK(range.begin >= end && range.begin < range.end && range.end <= rendered->text.size());
    end = range.end;
  }
  return 0;
}
