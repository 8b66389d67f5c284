#include "commands/deploy/check/schema.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/edit_distance.h"
#include "commands/deploy/check/schema_table.h"

namespace polymath::commands {
namespace {

struct Field {
  std::string name, type;
  bool required = false;
};

std::vector<Field> fields_of(std::string_view type) {
  std::vector<Field> out;
  for (const TypeRow& row : kTypeRows) {
    if (row.name != type) continue;
    const std::vector<std::string> words = absl::StrSplit(row.fields, ' ', absl::SkipEmpty());
    for (const std::string& word : words) {
      const size_t colon = word.find(':');
      const bool required = word[colon - 1] == '!';
      out.push_back({word.substr(0, colon - (required ? 1 : 0)), word.substr(colon + 1), required});
    }
  }
  return out;
}

// "1h30m", "500ms"
bool is_duration(std::string_view text) {
  if (text.empty() || text == "0") return !text.empty();
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) return false;
    text.remove_prefix(digits);
    const size_t unit = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view name = text.substr(0, unit);
    constexpr std::string_view kUnits[] = {"ms", "s", "m", "h", "d", "w", "y"};
    if (std::find(std::begin(kUnits), std::end(kUnits), name) == std::end(kUnits)) return false;
    text.remove_prefix(unit);
  }
  return true;
}

bool is_quantity(const base::JsonValue& value) { return quantity(text_at(value, "")) >= 0; }

bool all_of(const base::JsonValue& value, bool (*good)(const base::JsonValue&)) {
  if (!value.is_object()) return false;
  const base::JsonObject& members = value.get_object();
  return std::all_of(members.begin(), members.end(), [&](const auto& member) { return good(member.value()); });
}

struct Scalar {
  std::string_view name;
  bool (*good)(const base::JsonValue&);
  std::string_view words;
};

using Json = base::JsonValue;
constexpr Scalar kScalars[] = {
    {"any", [](const Json&) { return true; }, ""},
    {"string", [](const Json& v) { return v.is_string(); }, "a text; numbers and words like yes need quotes"},
    {"int", [](const Json& v) { return v.is_int64(); }, "a whole number"},
    {"bool", [](const Json& v) { return v.is_bool(); }, "true or false"},
    {"quantity", is_quantity, "a quantity like 16Gi"},
    {"quantities", [](const Json& v) { return all_of(v, is_quantity); }, "quantities like 16Gi"},
    {"duration", [](const Json& v) { return v.is_string() && is_duration(std::string_view(v.get_string())); },
     "a duration like 30s"},
    {"port", [](const Json& v) { return v.is_int64() || v.is_string(); }, "a port's number or name"},
    {"amount", [](const Json& v) { return v.is_int64() || (v.is_string() && v.get_string().ends_with('%')); },
     "a number or a share like 25%"},
    {"strings", [](const Json& v) { return all_of(v, [](const Json& text) { return text.is_string(); }); },
     "a mapping of texts; numbers and words like yes need quotes"},
};

const Scalar* find_scalar(std::string_view type) {
  const auto* const at =
      std::find_if(std::begin(kScalars), std::end(kScalars), [&](auto& s) { return s.name == type; });
  return at == std::end(kScalars) ? nullptr : at;
}

class FieldChecker {
 public:
  FieldChecker(const Object& object, Complaints& complaints) : object_(object), complaints_(complaints) {}

  void check(const base::JsonValue& value, std::string_view type, const std::string& path) {
    if (const Scalar* scalar = find_scalar(type); scalar != nullptr) {
      if (!scalar->good(value)) complain(path, absl::StrCat("must be ", std::string(scalar->words)));
    } else if (type.front() == '[') {
      check_list(value, type.substr(1, type.size() - 2), path);
    } else if (!value.is_object()) {
      complain(path, "must be a mapping");
    } else {
      check_members(value.get_object(), fields_of(type), path);
    }
  }

  void check_members(const base::JsonObject& object, const std::vector<Field>& fields, const std::string& path) {
    for (const auto& member : object) {
      const std::string name(member.key());
      const auto at = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == name; });
      if (at == fields.end()) {
        complain(absl::StrCat(path, ".", name), absl::StrCat("there is no such field", nearest(name, fields)));
      } else {
        check(member.value(), at->type, absl::StrCat(path, ".", name));
      }
    }
    for (const Field& field : fields) {
      if (field.required && !object.contains(field.name)) complain(absl::StrCat(path, ".", field.name), "is missing");
    }
  }

 private:
  void complain(const std::string& path, const std::string& what) {
    complaints_.add(object_, absl::StrCat(path.substr(1), ": ", what));
  }

  void check_list(const base::JsonValue& value, std::string_view type, const std::string& path) {
    if (!value.is_array()) return complain(path, "must be a list");
    const base::JsonArray& items = value.get_array();
    for (size_t i = 0; i < items.size(); ++i) check(items[i], type, absl::StrCat(path, "[", i, "]"));
  }

  static std::string nearest(const std::string& name, const std::vector<Field>& fields) {
    const Field* best = nullptr;
    size_t least = 4;  // edits; more: no likeness
    for (const Field& field : fields) {
      const size_t distance = base::edit_distance(name, field.name);
      if (distance >= least) continue;
      least = distance;
      best = &field;
    }
    return best == nullptr ? "" : absl::StrCat("; the nearest is ", best->name);
  }

  const Object& object_;
  Complaints& complaints_;
};

const KindRow* find_kind(const Object& object) {
  for (const KindRow& row : kKindRows) {
    if (object.kind == row.kind && object.version == row.version) return &row;
  }
  return nullptr;
}

}  // namespace

bool is_known_kind(const Object& object) { return find_kind(object) != nullptr; }

void check_fields(const Object& object, Complaints& complaints) {
  if (!object.value.is_object() || object.kind.empty() || object.version.empty()) {
    complaints.add(object, "apiVersion and kind are missing");
    return;
  }
  const KindRow* const kind = find_kind(object);
  if (kind == nullptr) {
    for (const KindRow& row : kKindRows) {
      if (object.kind == row.kind) complaints.add(object, absl::StrCat("apiVersion: must be ", row.version));
    }
    return;
  }
  std::vector<Field> fields = fields_of(kind->type);
  fields.insert(fields.end(), {{"apiVersion", "string", true}, {"kind", "string", true}, {"metadata", "Meta", true}});
  FieldChecker(object, complaints).check_members(object.value.get_object(), fields, "");
}

}  // namespace polymath::commands
