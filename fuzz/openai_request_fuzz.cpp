// Fuzzes bodies of /v1/completions (first byte even) and /v1/chat/completions (odd), up to the engine's request.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/openai/error.h"
#include "api/openai/request.h"
#include "byte_model.h"

namespace {

using polymath::api::Endpoint;

const polymath::api::ServedModel& model() {
  static const auto* const kept = new polymath::api::ServedModel(polymath::fuzz::byte_model(
      "{% for m in messages %}{{ m.role }}{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls|tojson }}{% endif %}"
      "{% endfor %}{% if tools %}{{ tools|tojson }}{% endif %}{% if add_generation_prompt %}>{% endif %}"));
  return *kept;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Endpoint endpoint = data[0] % 2 == 0 ? Endpoint::kCompletions : Endpoint::kChat;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto json = polymath::base::parse_json(body, {.depth_max = 64, .bytes_max = 1 << 20});
  if (!json.ok()) return 0;
  auto request = polymath::api::parse_openai_request(*json, endpoint, model(), {});
  absl::Status status = request.status();
  if (request.ok()) status = resolve_prompts(*request, model());
  if (status.ok()) {
    polymath::fuzz::check_plan(request->plan);
  } else {
    polymath::api::openai_error(polymath::api::failure_of(polymath::api::name_field(status)));
  }
  return 0;
}
