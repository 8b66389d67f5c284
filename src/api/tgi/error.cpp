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

}  // namespace

ErrorReply tgi_error(const Failure& failure) {
  ErrorRow row{failure.http_status, failure.http_status, failure.http_status < 500 ? "validation" : "generation", ""};
  const auto* const found = std::find_if(std::begin(kErrors), std::end(kErrors),
                                         [&](const ErrorRow& r) { return r.from == failure.http_status; });
  if (found != std::end(kErrors)) row = *found;
  base::JsonObject body;
  body["error"] = text_json(absl::StrCat(std::string(row.text), row.with_message ? shown(failure.message) : ""));
  body["error_type"] = text_json(row.type);
  return {row.to, base::to_text(body)};
}

}  // namespace polymath::api
