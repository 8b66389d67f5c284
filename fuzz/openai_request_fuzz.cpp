// Fuzzes bodies of /v1/completions (first byte even) and /v1/chat/completions (odd), up to the engine's request or the
// error's body.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/openai/error.h"
#include "api/openai/logprob_fields.h"
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
  namespace api = polymath::api;
  if (size == 0) return 0;
  const Endpoint endpoint = data[0] % 2 == 0 ? Endpoint::kCompletions : Endpoint::kChat;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto json = polymath::base::parse_json(body, {.depth_max = 64, .bytes_max = 1 << 20});
  auto request = json.ok() ? api::parse_openai_request(*json, endpoint, model(), {})
                           : absl::StatusOr<api::OpenAiRequest>(json.status());
  absl::Status status = request.status();
  if (request.ok()) status = api::resolve_prompts(*request, model());
  if (status.ok()) status = api::bound_openai_answer(*request, {});
  if (status.ok()) {
    polymath::fuzz::check_plan(request->plan);
    return 0;
  }
  const api::Failure failure = api::failure_of(api::name_field(status));
  polymath::fuzz::check_error_body(api::openai_error(failure).body);
  polymath::fuzz::check_error_body(api::openai_flat_error(failure).body);
  return 0;
}
