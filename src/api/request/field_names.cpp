#include "api/request/field_names.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {

absl::Status in_own_words(const absl::Status& status, std::span<const FieldName> names) {
  const std::string field = field_of(status);
  const auto name = std::find_if(names.begin(), names.end(), [&](const FieldName& n) { return n.chat == field; });
  const std::string message(status.message());
  const std::string prefix = absl::StrCat(field, ": ");
  if (name == names.end() || !message.starts_with(prefix)) return status;
  const std::string_view sentence = std::string_view(message).substr(prefix.size());
  return absl::IsUnimplemented(status) ? not_built(name->own, sentence) : invalid(name->own, sentence);
}

}  // namespace polymath::api
