// Bodies of TGI's POST / and /generate: parsed, checked, tokenized.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/tgi/error.h"
#include "api/tgi/request.h"
#include "byte_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const model = new polymath::api::ServedModel(polymath::fuzz::byte_model(""));
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto json = polymath::base::parse_json(body, {.depth_max = 64, .bytes_max = 1 << 20});
  if (!json.ok()) return 0;
  auto request = polymath::api::parse_tgi_request(*json, {}, *model, {});
  absl::Status status = request.status();
  if (request.ok()) status = resolve_tgi_prompt(*request, *model);
  if (status.ok()) {
    polymath::fuzz::check_plan(request->plan);
  } else {
    const auto failure = polymath::api::failure_of(polymath::api::name_field(status));
    polymath::fuzz::check_error_body(polymath::api::tgi_error(failure).body);
  }
  return 0;
}
