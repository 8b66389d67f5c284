// Where a model directory keeps its template.

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "text/chat_template.h"

namespace polymath::text {
namespace {

absl::StatusOr<std::string> read_text(const std::string& path) {
  const size_t bytes_max = ChatTemplateLimits{}.source_bytes_max;
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  std::string text(bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > bytes_max)
    return absl::InvalidArgumentError(absl::StrCat(path, ": more than ", bytes_max, " bytes"));
  return text;
}

std::string to_string(const boost::json::string& s) { return {s.data(), s.size()}; }

absl::Status malformed(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": chat_template must be a string or a list of {\"name\", \"template\"}"));
}

// The template in `value`: a string, or that of `name` in a list.
absl::StatusOr<std::string> choose(const base::JsonValue& value, std::string_view name, const std::string& path) {
  if (value.is_string()) return to_string(value.get_string());
  if (!value.is_array()) return malformed(path);
  const std::string wanted(name.empty() ? "default" : name);
  for (const auto& entry : value.get_array()) {
    const auto* object = entry.if_object();
    const auto* entry_name = object != nullptr ? object->if_contains("name") : nullptr;
    const auto* text = object != nullptr ? object->if_contains("template") : nullptr;
    if (entry_name == nullptr || text == nullptr || !entry_name->is_string() || !text->is_string())
      return malformed(path);
    if (to_string(entry_name->get_string()) == wanted) return to_string(text->get_string());
  }
  return absl::NotFoundError(absl::StrCat(path, ": no chat template is named '", wanted, "'"));
}

// kNotFound: no such file, or no template in it.
absl::StatusOr<std::string> from_json(const std::string& path, std::string_view name) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::NotFoundError(absl::StrCat(path, ": is not there"));
  ASSIGN_OR_RETURN(const base::JsonValue root, base::read_json_file(path, {}));
  if (!root.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": must be an object"));
  const auto* value = root.get_object().if_contains("chat_template");
  if (value == nullptr || value->is_null()) return absl::NotFoundError(absl::StrCat(path, ": has no chat_template"));
  return choose(*value, name, path);
}

}  // namespace

absl::StatusOr<std::string> find_chat_template(const std::string& directory, std::string_view name) {
  std::error_code error;
  const std::string own = directory + "/chat_template.jinja";
  if (std::filesystem::exists(own, error)) return read_text(own);
  auto configured = from_json(directory + "/tokenizer_config.json", name);
  if (!absl::IsNotFound(configured.status())) return configured;
  auto separate = from_json(directory + "/chat_template.json", name);
  if (!absl::IsNotFound(separate.status())) return separate;
  // A list without that name says more than a file that is not there.
  const bool has_list = configured.status().message().find("is named") != absl::string_view::npos;
  if (has_list) return configured;
  return absl::NotFoundError(absl::StrCat(directory, ": the model has no chat template"));
}

}  // namespace polymath::text
