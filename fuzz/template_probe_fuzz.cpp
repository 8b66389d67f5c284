// Fuzzes the probe of a chat template, and messages brought into the form that it found.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/chat/message_form.h"
#include "base/check.h"

namespace {

const polymath::base::JsonArray& messages() {
  static const auto* const value = new polymath::base::JsonArray(polymath::base::parse_json(R"([
        {"role": "system", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
        {"role": "developer", "content": ""},
        {"role": "assistant", "content": "",
         "tool_calls": [{"function": {"name": "f", "arguments": "{\"x\": 1}"}}, {"function": {"arguments": "{"}}, {}]},
        {"role": "tool", "content": [{"type": "text", "text": "d"}]}])",
                                                                                            {})
                                                                     ->get_array());
  return *value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using polymath::api::ContentFormat;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  polymath::text::ChatTemplateLimits limits;  // small: a probe renders some fifty times
  limits.steps_max = 5'000;
  limits.output_bytes_max = 1u << 16;
  limits.memory_bytes_max = 1u << 20;
  const auto parsed = polymath::text::ChatTemplate::parse(source, limits);
  if (!parsed.ok()) return 0;
  const auto form = polymath::api::probe_template(*parsed, source, {{"bos_token", "<s>"}}, ContentFormat::kAuto);
  const auto fitted = polymath::api::fit_messages(messages(), form);
  CHECK(fitted.ok());  // every call has an object, a cut one, or nothing
  CHECK(!fitted->empty() && fitted->size() <= messages().size());
  for (const auto& message : *fitted) CHECK(message.at("role").is_string());
  return 0;
}
