#include "commands/load/model_name.h"

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "commands/load/dialect.h"

namespace polymath::commands::load {
namespace {

constexpr size_t kListBytesMax = 16 << 20;  // of the list of models; more: kResourceExhausted

class Collector : public ResponseHandler {
 public:
  absl::Status on_body(const ResponseHead&, std::string_view piece, double) override {
    if (body.size() + piece.size() > kListBytesMax) return absl::ResourceExhaustedError("a very long list of models");
    body += piece;
    return absl::OkStatus();
  }
  void on_end(const absl::Status& end, const ResponseHead& head, double) override {
    done = true;
    error = end;
    if (error.ok() && head.status != 200)
      error = absl::UnavailableError(absl::StrCat(head.status, " ", error_text(body)));
  }

  std::string body;
  absl::Status error;
  bool done = false;
};

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

absl::StatusOr<std::string> first_model(HttpClient& client, const Target& target) {
  Collector collector;
  client.send(request_bytes(target, "/v1/models", ""), collector);
  while (!collector.done) RETURN_IF_ERROR(client.poll(1));
  const std::string where = absl::StrCat("http://", target.authority(), target.base_path, "/v1/models");
  if (!collector.error.ok()) {
    return absl::UnavailableError(absl::StrCat(where, ": ", collector.error.message(), "; --model names a model"));
  }
  const std::string id = first_id(collector.body);
  if (id.empty()) return absl::UnavailableError(absl::StrCat(where, " lists no model; --model names one"));
  return id;
}

}  // namespace polymath::commands::load
