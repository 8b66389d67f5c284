#include "api/request/text_bound.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {

absl::Status check_text(const ServedModel& model, size_t text_bytes, std::string_view field) {
  const size_t bytes_max = static_cast<size_t>(model.model_len_max) * std::max<size_t>(1, model.token_bytes_max);
  if (text_bytes <= bytes_max) return absl::OkStatus();
  return too_long(field, absl::StrCat("This model's maximum context length is ", model.model_len_max,
                                      " tokens. However, the text has ", text_bytes, " bytes, and at most ", bytes_max,
                                      " can fit."));
}

size_t text_bytes(const base::JsonValue& value) {
  if (value.is_string()) return value.get_string().size();
  size_t n = 0;
  if (value.is_array()) {
    for (const auto& item : value.get_array()) n += text_bytes(item);
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) n += text_bytes(member.value());
  }
  return n;
}

absl::Status check_client(const server::HttpReply& reply) {
  return reply.gone() ? absl::CancelledError("the client has gone") : absl::OkStatus();
}

}  // namespace polymath::api
