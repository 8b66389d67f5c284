#include "api/tgi/error.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"

namespace polymath::api {
namespace {

struct ErrorRow {
  int from, to;  // HTTP status: ours, TGI's
  std::string_view type;
  std::string_view text;     // before the message
  bool with_message = true;  // false: `text` alone, as TGI's clients know it
};
// TGI answers 422 to everything that is wrong with a field, and 424 to a failed forward pass.
constexpr ErrorRow kErrors[] = {
    {400, 422, "validation", "Input validation error: "},
    {401, 401, "unauthorized", ""},
    {404, 404, "not_found", ""},
    {405, 405, "not_found", ""},
    {409, 500, "incomplete_generation", "Incomplete generation", false},
    {429, 429, "overloaded", "Model is overloaded", false},
    {500, 424, "generation", "Request failed during generation: "},
    {501, 422, "validation", "Input validation error: "},
    {503, 503, "overloaded", ""},
};
constexpr ErrorRow kTemplate{400, 422, kTgiTemplateError, "Template error: "};
constexpr ErrorRow kIncompleteStream{500, 500, "incomplete_generation_stream", "Incomplete generation stream", false};
constexpr ErrorRow kUnhealthy{503, 503, "healthcheck", "unhealthy", false};

ErrorRow row_of(const Failure& failure) {
  if (failure.code == kTgiTemplateError) return kTemplate;
  const auto* const found = std::find_if(std::begin(kErrors), std::end(kErrors),
                                         [&](const ErrorRow& r) { return r.from == failure.http_status; });
  if (found != std::end(kErrors)) return *found;
  return {failure.http_status, failure.http_status, failure.http_status < 500 ? "validation" : "generation", ""};
}

ErrorReply reply_of(const ErrorRow& row, std::string_view message) {
  base::JsonObject body;
  body["error"] =
      text_json(absl::StrCat(std::string(row.text), row.with_message ? excerpt(message, kMessageBytesMax) : ""));
  body["error_type"] = text_json(row.type);
  return {row.to, base::to_text(body)};
}

}  // namespace

ErrorReply tgi_error(const Failure& failure) { return reply_of(row_of(failure), failure.message); }

ErrorReply tgi_incomplete_stream() { return reply_of(kIncompleteStream, ""); }

ErrorReply tgi_unhealthy() { return reply_of(kUnhealthy, ""); }

}  // namespace polymath::api
