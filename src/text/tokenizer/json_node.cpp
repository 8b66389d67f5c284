#include "text/tokenizer/json_node.h"

#include "absl/strings/str_cat.h"

namespace polymath::text {

absl::Status unknown_type(std::string_view path, std::string_view type) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(path), ": type \"", std::string(type), "\" is not supported"));
}

absl::StatusOr<std::vector<const base::JsonValue*>> sequence_of(const base::JsonValue& node, std::string_view key,
                                                                std::string_view path) {
  base::JsonReader reader(node, std::string(path));
  const base::JsonValue* list = reader.find(key);
  if (list == nullptr || !list->is_array()) reader.complain(key, "must be an array");
  RETURN_IF_ERROR(reader.status());
  std::vector<const base::JsonValue*> members;
  for (const auto& member : list->get_array()) members.push_back(&member);
  return members;
}

}  // namespace polymath::text
