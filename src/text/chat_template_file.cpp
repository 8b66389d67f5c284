// Where a model directory keeps its templates.

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/read_file.h"
#include "text/chat_template.h"

namespace polymath::text {
namespace {

absl::StatusOr<std::string> read_text(const std::string& path) {
  return base::read_file(path, ChatTemplateLimits{}.source_bytes_max);
}

std::string to_string(const boost::json::string& s) { return {s.data(), s.size()}; }

absl::Status malformed(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": chat_template must be a string or a list of {\"name\", \"template\"}"));
}

// Adds a template whose name is new.
void add(std::vector<NamedTemplate>& templates, std::string name, std::string source) {
  const bool known = std::any_of(templates.begin(), templates.end(), [&](const auto& t) { return t.name == name; });
  if (!known) templates.push_back({std::move(name), std::move(source)});
}

absl::Status add_listed(const base::JsonArray& list, const std::string& path, std::vector<NamedTemplate>& templates) {
  for (const auto& entry : list) {
    const auto* object = entry.if_object();
    const auto* name = object != nullptr ? object->if_contains("name") : nullptr;
    const auto* text = object != nullptr ? object->if_contains("template") : nullptr;
    if (name == nullptr || text == nullptr || !name->is_string() || !text->is_string()) return malformed(path);
    add(templates, to_string(name->get_string()), to_string(text->get_string()));
  }
  return absl::OkStatus();
}

// A file that is not there has none.
absl::Status add_configured(const std::string& path, std::vector<NamedTemplate>& templates) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const base::JsonValue root, base::read_json_file(path, {}));
  if (!root.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": must be an object"));
  const auto* value = root.get_object().if_contains("chat_template");
  if (value == nullptr || value->is_null()) return absl::OkStatus();
  if (value->is_array()) return add_listed(value->get_array(), path, templates);
  if (!value->is_string()) return malformed(path);
  add(templates, std::string(kDefaultTemplate), to_string(value->get_string()));
  return absl::OkStatus();
}

absl::Status add_files(const std::string& directory, std::vector<NamedTemplate>& templates) {
  std::error_code error;
  const std::string own = directory + "/chat_template.jinja";
  if (std::filesystem::exists(own, error)) {
    ASSIGN_OR_RETURN(std::string text, read_text(own));
    add(templates, std::string(kDefaultTemplate), std::move(text));
  }
  std::filesystem::directory_iterator files(directory + "/additional_chat_templates", error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    const std::filesystem::path& path = files->path();
    if (path.extension() != ".jinja" || templates.size() > kNamedTemplatesMax) continue;
    ASSIGN_OR_RETURN(std::string text, read_text(path.string()));
    add(templates, path.stem().string(), std::move(text));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<NamedTemplate>> in_order(std::vector<NamedTemplate> templates, std::string_view origin) {
  const std::string from(origin);
  if (templates.empty()) return absl::NotFoundError(absl::StrCat(from, ": the model has no chat template"));
  if (templates.size() > kNamedTemplatesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(from, ": ", templates.size(), " chat templates; at most ", kNamedTemplatesMax));
  }
  const auto key = [](const NamedTemplate& t) {
    return std::pair(t.name != kDefaultTemplate, std::string_view(t.name));
  };
  std::sort(templates.begin(), templates.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  return templates;
}

absl::StatusOr<std::vector<NamedTemplate>> find_chat_templates(const std::string& directory) {
  std::vector<NamedTemplate> templates;
  RETURN_IF_ERROR(add_files(directory, templates));
  if (!templates.empty()) return in_order(std::move(templates), directory);
  RETURN_IF_ERROR(add_configured(directory + "/tokenizer_config.json", templates));
  RETURN_IF_ERROR(add_configured(directory + "/chat_template.json", templates));
  return in_order(std::move(templates), directory);
}

}  // namespace polymath::text
