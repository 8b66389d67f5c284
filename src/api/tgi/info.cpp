// GET /info: what TGI tells of itself, each member true of this server.

#include <algorithm>

#include "api/json_values.h"
#include "api/tgi/start.h"

namespace polymath::api {
namespace {

base::JsonValue text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return text_json(text);
}

}  // namespace

base::JsonObject tgi_info(const Service& service) {
  const ServedModel& model = service.model();
  const ServiceOptions& options = service.options();
  const int input_max = model.model_len_max - 1;  // an answer has at least one token
  return {{"model_id", text_json(model.root)},
          {"model_sha", text_or_null(model.revision)},
          {"model_pipeline_tag", "text-generation"},
          {"max_concurrent_requests", options.facts.requests_max},
          {"max_best_of", options.limits.best_of_max},
          {"max_stop_sequences", options.limits.stop_max},
          {"max_input_tokens", model.input_len_max > 0 ? std::min(model.input_len_max, input_max) : input_max},
          {"max_total_tokens", model.model_len_max},
          {"validation_workers", options.facts.workers},
          {"max_client_batch_size", options.limits.prompts_max},
          {"router", "polymath"},
          {"version", text_json(options.version)},
          {"sha", nullptr},
          {"docker_label", nullptr}};
}

}  // namespace polymath::api
