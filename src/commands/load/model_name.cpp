#include "commands/load/model_name.h"

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "commands/http/fetch.h"
#include "commands/load/dialect.h"

namespace polymath::commands::load {
namespace {

constexpr size_t kListBytesMax = 16 << 20;  // of the list of models; more: kResourceExhausted

std::string first_id(const std::string& body) {
  const auto json = base::parse_json(body, {});
  if (!json.ok() || !json->is_object()) return "";
  const base::JsonValue* data = json->get_object().if_contains("data");
  if (data == nullptr || !data->is_array() || data->get_array().empty()) return "";
  const base::JsonValue& first = data->get_array().front();
  const base::JsonValue* id = first.is_object() ? first.get_object().if_contains("id") : nullptr;
  return id != nullptr && id->is_string() ? std::string(id->get_string().c_str()) : "";
}

}  // namespace

absl::StatusOr<std::string> first_model(http::HttpClient& client, const http::Target& target) {
  const std::string where = absl::StrCat("http://", target.authority(), target.base_path, "/v1/models");
  auto list = http::fetch(client, target, "/v1/models", kListBytesMax);
  if (list.ok() && list->status != 200) {
    list = absl::UnavailableError(absl::StrCat(list->status, " ", error_text(list->body)));
  }
  if (!list.ok()) {
    return absl::UnavailableError(absl::StrCat(where, ": ", list.status().message(), "; --model names a model"));
  }
  const std::string id = first_id(list->body);
  if (id.empty()) return absl::UnavailableError(absl::StrCat(where, " lists no model; --model names one"));
  return id;
}

}  // namespace polymath::commands::load
