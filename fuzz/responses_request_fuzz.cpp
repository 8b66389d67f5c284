// Fuzzes bodies of /v1/responses, up to the engine's request or the error's body.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/openai/error.h"
#include "api/openai/logprob_fields.h"
#include "api/openai/request.h"
#include "api/responses/request.h"
#include "byte_model.h"

namespace {

namespace api = polymath::api;
namespace base = polymath::base;

const api::ServedModel& model() {
  static const auto* const kept = new api::ServedModel(polymath::fuzz::byte_model(
      "{% for m in messages %}{{ m.role }}{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls|tojson }}{% endif %}"
      "{% endfor %}{% if tools %}{{ tools|tojson }}{% endif %}{% if add_generation_prompt %}>{% endif %}"));
  return *kept;
}

// The messages of an answer are a valid history.
absl::StatusOr<api::OpenAiRequest> read(const base::JsonValue& json) {
  ASSIGN_OR_RETURN(const std::string previous, api::previous_response(json));
  base::JsonArray history;
  if (!previous.empty()) {
    ASSIGN_OR_RETURN(api::ChatOfResponses first, api::chat_of_responses(json, {}));
    history = std::move(first.messages);
  }
  ASSIGN_OR_RETURN(api::ChatOfResponses asked, api::chat_of_responses(json, std::move(history)));
  return api::parse_openai_request(base::JsonValue(std::move(asked.chat)), api::Endpoint::kChat, model(), {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto json = base::parse_json(body, {.depth_max = 64, .bytes_max = 1 << 20});
  auto request = json.ok() ? read(*json) : absl::StatusOr<api::OpenAiRequest>(json.status());
  absl::Status status = request.status();
  if (request.ok()) status = api::resolve_prompts(*request, model());
  if (status.ok()) status = api::bound_openai_answer(*request, {});
  if (status.ok()) {
    polymath::fuzz::check_plan(request->plan);
  } else {
    polymath::fuzz::check_error_body(api::openai_error(api::failure_of(api::name_field(status))).body);
  }
  return 0;
}
