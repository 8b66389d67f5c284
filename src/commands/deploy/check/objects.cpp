#include "commands/deploy/check/objects.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace polymath::commands {

void Objects::add(std::string file, base::JsonValue value) {
  Object object{.file = std::move(file), .value = std::move(value)};
  object.version = text_at(object.value, "apiVersion");
  object.kind = text_at(object.value, "kind");
  object.name = text_at(object.value, "metadata.name");
  object.space = text_at(object.value, "metadata.namespace");
  objects_.push_back(std::move(object));
}

void Objects::find_pods() {
  for (const Object& object : objects_) {
    const char* path = object.kind == "LeaderWorkerSet" ? "spec.leaderWorkerTemplate.workerTemplate" : "spec.template";
    const base::JsonValue* pod = value_at(object.value, path);
    if (pod == nullptr || value_at(*pod, "spec") == nullptr) continue;
    pods_.push_back({.owner = &object,
                     .spec = value_at(*pod, "spec"),
                     .labels = labels_at(*pod, "metadata.labels"),
                     .replicas = number_at(object.value, "spec.replicas", 1)});
  }
}

std::vector<const Object*> Objects::of_kind(std::string_view kind) const {
  std::vector<const Object*> out;
  for (const Object& object : objects_) {
    if (object.kind == kind) out.push_back(&object);
  }
  return out;
}

const Object* Objects::find(std::string_view kind, std::string_view space, std::string_view name) const {
  for (const Object& object : objects_) {
    if (object.kind == kind && object.name == name && object.space == space) return &object;
  }
  return nullptr;
}

std::vector<const Pod*> Objects::select(std::string_view space, const Labels& labels) const {
  std::vector<const Pod*> out;
  for (const Pod& pod : pods_) {
    const bool has_all = std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
      const auto at = pod.labels.find(label.first);
      return at != pod.labels.end() && at->second == label.second;
    });
    if (pod.owner->space == space && has_all && !labels.empty()) out.push_back(&pod);
  }
  return out;
}

int64_t Objects::replicas_max(const Pod& pod) const {
  int64_t most = pod.replicas;
  for (const Object& object : objects_) {
    const bool scales =
        text_at(object.value, "spec.scaleTargetRef.name") == pod.owner->name && object.space == pod.owner->space;
    if (!scales) continue;
    most = std::max(most, number_at(object.value, "spec.maxReplicas", 1));
    most = std::max(most, number_at(object.value, "spec.maxReplicaCount", 1));
  }
  return most;
}

void Complaints::add(const Object& object, std::string_view what) {
  all_.push_back(absl::StrCat(object.file, ": ", object.title(), ": ", std::string(what)));
}

const base::JsonValue* value_at(const base::JsonValue& value, std::string_view path) {
  const base::JsonValue* at = &value;
  while (!path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    if (!at->is_object()) return nullptr;
    at = at->get_object().if_contains(path.substr(0, dot));
    if (at == nullptr) return nullptr;
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return at;
}

std::vector<const base::JsonValue*> list_at(const base::JsonValue& value, std::string_view path) {
  std::vector<const base::JsonValue*> out;
  const base::JsonValue* list = value_at(value, path);
  if (list == nullptr || !list->is_array()) return out;
  for (const base::JsonValue& item : list->get_array()) out.push_back(&item);
  return out;
}

std::string text_at(const base::JsonValue& value, std::string_view path) {
  const base::JsonValue* text = value_at(value, path);
  if (text == nullptr || text->is_null()) return "";
  return text->is_string() ? std::string(text->get_string()) : base::to_text(*text);
}

int64_t number_at(const base::JsonValue& value, std::string_view path, int64_t fallback) {
  const base::JsonValue* number = value_at(value, path);
  if (number == nullptr) return fallback;
  return base::whole_number(*number).value_or(fallback);
}

Labels labels_at(const base::JsonValue& value, std::string_view path) {
  Labels out;
  const base::JsonValue* labels = value_at(value, path);
  if (labels == nullptr || !labels->is_object()) return out;
  for (const auto& member : labels->get_object()) out[std::string(member.key())] = text_at(member.value(), "");
  return out;
}

double quantity(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}, {"Ti", 1099511627776.0}, {"m", 1e-3}, {"k", 1e3},
      {"M", 1e6},     {"G", 1e9},        {"T", 1e12}};
  double unit = 1;
  for (const auto& [name, factor] : kUnits) {
    if (!text.ends_with(name)) continue;
    text.remove_suffix(name.size());
    unit = factor;
    break;
  }
  double number = 0;
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos) return -1;
  return absl::SimpleAtod(std::string(text), &number) ? number * unit : -1;
}

std::string flag_value(const std::vector<std::string>& words, std::initializer_list<std::string_view> names) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    std::string name = words[i].substr(0, equals);
    if (name.starts_with("--")) std::replace(name.begin(), name.end(), '_', '-');
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    if (equals != std::string::npos) {
      out = words[i].substr(equals + 1);
    } else if (i + 1 < words.size()) {
      out = words[i + 1];
    }
  }
  return out;
}

std::vector<std::string> words_of(const base::JsonValue& container) {
  std::vector<std::string> out;
  for (const char* part : {"command", "args"}) {
    for (const base::JsonValue* word : list_at(container, part)) out.push_back(text_at(*word, ""));
  }
  return out;
}

}  // namespace polymath::commands
