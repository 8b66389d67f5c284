#include "api/chat/tool_declarations.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "api/chat/python_text.h"

namespace polymath::api {
namespace {

constexpr std::string_view kDefinition = "#/$defs/";

std::string to_string(const boost::json::string& s) { return {s.data(), s.size()}; }

// What a schema is, by the first of its members that says so.
enum class Form { kAny, kNull, kReference, kAnyOf, kEnum, kUnion, kObject, kArray, kScalar };

std::optional<Form> form_of(const base::JsonValue& schema) {
  if (schema.is_bool()) return schema.get_bool() ? Form::kAny : Form::kNull;
  if (!schema.is_object()) return std::nullopt;
  const base::JsonObject& object = schema.get_object();
  if (object.empty()) return Form::kAny;
  if (object.contains("$ref")) return Form::kReference;
  if (object.contains("anyOf")) return Form::kAnyOf;
  if (object.contains("enum")) return Form::kEnum;
  const auto* type = object.if_contains("type");
  if (type == nullptr) return std::nullopt;
  if (type->is_array()) return Form::kUnion;
  if (!type->is_string()) return std::nullopt;
  if (type->get_string() == "object") return Form::kObject;
  return type->get_string() == "array" ? Form::kArray : Form::kScalar;
}

struct NamedType {
  std::string_view json, typescript;
};
constexpr NamedType kUnionTypes[] = {
    {"string", "string"}, {"number", "number"}, {"integer", "number"},   {"boolean", "boolean"},
    {"null", "null"},     {"object", "{}"},     {"array", "Array<any>"},
};

// "": not known.
std::string_view union_type(const base::JsonValue& name) {
  if (!name.is_string()) return {};
  for (const NamedType& row : kUnionTypes) {
    if (name.get_string() == boost::json::string_view(row.json.data(), row.json.size())) return row.typescript;
  }
  return {};
}

// Members that a comment shows, sorted.
struct Constraints {
  std::string_view type;
  std::vector<const char*> members;
};
const std::vector<const char*>& constraints_of(std::string_view type) {
  static const auto* const rows = new std::vector<Constraints>{{"string", {"maxLength", "minLength", "pattern"}},
                                                               {"number", {"maximum", "minimum"}},
                                                               {"integer", {"maximum", "minimum"}},
                                                               {"array", {"maxItems", "minItems"}},
                                                               {"", {}}};
  const auto at =
      std::find_if(rows->begin(), rows->end() - 1, [&](const Constraints& row) { return row.type == type; });
  return at->members;
}

bool fits(const base::JsonValue& value, std::string_view type) {
  if (value.is_null()) return true;
  const bool is_whole = value.is_int64() || value.is_uint64() || value.is_bool();  // Python's bool is an int
  if (type == "string") return value.is_string();
  if (type == "number") return is_whole || value.is_double();
  if (type == "integer") return is_whole;
  return type != "boolean" || value.is_bool();
}

// The values of an enum are of its type, or null.
bool is_good_enum(const base::JsonObject& schema) {
  const base::JsonValue& values = schema.at("enum");
  if (!values.is_array()) return false;
  const auto* type = schema.if_contains("type");
  if (type == nullptr) return true;
  if (type->is_array()) {
    const base::JsonArray& names = type->get_array();
    const bool has_null = std::find(names.begin(), names.end(), base::JsonValue("null")) != names.end();
    if (names.empty() || names.size() > 2 || (names.size() == 2 && !has_null)) return false;
    type = names.size() == 2 && names[0] == "null" ? &names[1] : &names[0];
  }
  const std::string name = type->is_string() ? to_string(type->get_string()) : "";
  return std::all_of(values.get_array().begin(), values.get_array().end(),
                     [&](const base::JsonValue& value) { return fits(value, name); });
}

std::string comment(std::string_view text, const std::string& indent) {
  const auto line = [&](std::string* out, absl::string_view l) {
    if (!l.empty()) absl::StrAppend(out, indent, "// ", l);
  };
  return absl::StrJoin(absl::StrSplit(absl::string_view(text.data(), text.size()), '\n'), "\n", line);
}

// null: there is none. An object's description is a text; anything else is refused by read().
const boost::json::string* description_of(const base::JsonObject& object) {
  const auto* found = object.if_contains("description");
  const auto* text = found != nullptr ? found->if_string() : nullptr;
  return text == nullptr || text->empty() ? nullptr : text;
}

bool has_good_description(const base::JsonObject& object) {
  const auto* found = object.if_contains("description");
  return found == nullptr || found->is_string() || base::says_nothing(*found);
}

// Of one function. read() comes first: it finds what the schemas refer to, and refuses what has no declaration.
class Declaration {
 public:
  std::optional<std::string> of(const base::JsonObject& function) {
    const auto* given = function.if_contains("parameters");
    const base::JsonValue none = base::JsonObject();
    const base::JsonValue& parameters = given == nullptr || base::says_nothing(*given) ? none : *given;
    if (!parameters.is_object() || !has_good_description(function) || !read_object(parameters.get_object())) {
      return std::nullopt;
    }
    const bool refers_to_itself = refers_to_itself_;
    std::vector<std::string> lines;
    if (refers_to_itself)
      lines.push_back("interface parameters " + braced(texts(fields(parameters.get_object(), "  ")), ""));
    const auto definitions = definitions_;
    for (const auto& [name, schema] : definitions) {
      if (!schema->is_object() || !read(*schema)) return std::nullopt;
      if (const auto* text = description_of(schema->get_object())) lines.push_back(comment(to_string(*text), ""));
      lines.push_back(absl::StrCat("interface ", name, " ", type(*schema, "")));
    }
    if (const auto* text = description_of(function)) lines.push_back(comment(to_string(*text), ""));
    const auto* name = function.if_contains("name");
    lines.push_back(absl::StrCat(
        "type ", name != nullptr && name->is_string() ? to_string(name->get_string()) : "function",
        " = (_: ", refers_to_itself ? "parameters" : object_type(parameters.get_object(), ""), ") => any;"));
    return absl::StrJoin(lines, "\n");
  }

 private:
  // False: it cannot be declared.
  bool read(const base::JsonValue& schema) {
    const auto form = form_of(schema);
    if (!form.has_value()) return false;
    if (!schema.is_object()) return true;
    const base::JsonObject& object = schema.get_object();
    if (!has_good_description(object)) return false;
    const auto all = [](const base::JsonValue& list, const auto& good) {
      return list.is_array() && std::all_of(list.get_array().begin(), list.get_array().end(), good);
    };
    switch (*form) {
      case Form::kReference:
        return read_reference(object.at("$ref"));
      case Form::kAnyOf:
        return all(object.at("anyOf"), [&](const base::JsonValue& one) { return read(one); });
      case Form::kEnum:
        return is_good_enum(object);
      case Form::kUnion:
        return all(object.at("type"), [](const base::JsonValue& one) { return !union_type(one).empty(); });
      case Form::kObject:
        return read_object(object);
      case Form::kArray:
        return !has_items(object) || read(object.at("items"));
      default:
        return true;
    }
  }

  bool read_reference(const base::JsonValue& reference) {
    if (!reference.is_string()) return false;
    const std::string path = to_string(reference.get_string());
    if (path == "#") return refers_to_itself_ = true;
    const std::string name = reference_name(path);
    return path.starts_with(kDefinition) &&
           std::any_of(definitions_.begin(), definitions_.end(), [&](const auto& d) { return d.first == name; });
  }

  bool read_object(const base::JsonObject& object) {
    if (const auto* definitions = object.if_contains("$defs"); definitions != nullptr) {
      if (!definitions->is_object() && !base::says_nothing(*definitions)) return false;
      if (definitions->is_object()) add_definitions(definitions->get_object());
    }
    if (const auto* more = object.if_contains("additionalProperties"); more != nullptr) {
      if (!more->is_bool() && !more->is_null() && (!more->is_object() || !read(*more))) return false;
    }
    const auto* properties = object.if_contains("properties");
    if (properties == nullptr) return true;
    const auto* required = object.if_contains("required");
    if (!properties->is_object() || (required != nullptr && !required->is_array())) return false;
    const base::JsonObject& members = properties->get_object();
    return std::all_of(members.begin(), members.end(), [&](const auto& member) { return read(member.value()); });
  }

  void add_definitions(const base::JsonObject& definitions) {
    for (const auto& member : definitions) {
      const std::string name(member.key().data(), member.key().size());
      const auto known =
          std::find_if(definitions_.begin(), definitions_.end(), [&](const auto& d) { return d.first == name; });
      if (known != definitions_.end()) {
        known->second = &member.value();
      } else {
        definitions_.emplace_back(name, &member.value());
      }
    }
  }

  static std::string reference_name(const std::string& path) {
    return path == "#" ? "parameters" : path.substr(path.rfind('/') + 1);
  }

  static bool has_items(const base::JsonObject& object) {
    const auto* items = object.if_contains("items");
    return items != nullptr && !base::says_nothing(*items);
  }

  // REQUIRES, here and below: read().
  static std::string type(const base::JsonValue& schema, const std::string& indent) {
    const Form form = form_of(schema).value_or(Form::kAny);
    const auto joined = [](const base::JsonValue& list, const auto& one) {
      return absl::StrJoin(list.get_array(), " | ",
                           [&](std::string* out, const base::JsonValue& v) { absl::StrAppend(out, one(v)); });
    };
    if (form == Form::kAny) return "any";
    if (form == Form::kNull) return "null";
    const base::JsonObject& object = schema.get_object();
    switch (form) {
      case Form::kReference:
        return reference_name(to_string(object.at("$ref").get_string()));
      case Form::kAnyOf:
        return joined(object.at("anyOf"), [&](const base::JsonValue& v) { return type(v, indent); });
      case Form::kEnum:
        return joined(object.at("enum"), [](const base::JsonValue& v) {
          return v.is_string() ? absl::StrCat("\"", to_string(v.get_string()), "\"") : python_text(v);
        });
      case Form::kUnion:
        return joined(object.at("type"), [](const base::JsonValue& v) { return std::string(union_type(v)); });
      case Form::kObject:
        return object_type(object, indent);
      case Form::kArray:
        return array_type(object, indent);
      default: {
        const std::string name = to_string(object.at("type").get_string());
        return name == "integer" ? "number" : name;
      }
    }
  }

  static std::string array_type(const base::JsonObject& object, const std::string& indent) {
    if (!has_items(object)) return "Array<any>";
    const base::JsonValue& items = object.at("items");
    const std::string inner = indent + "  ", about = comments(items, inner);
    if (about.empty()) return absl::StrCat("Array<", type(items, indent), ">");
    return absl::StrCat("Array<\n", about, inner, type(items, inner), "\n", indent, ">");
  }

  static std::string object_type(const base::JsonObject& object, const std::string& indent) {
    const std::string inner = indent + "  ";
    std::vector<Field> members = fields(object, inner);
    std::stable_partition(members.begin(), members.end(), [](const Field& field) { return !field.optional; });
    std::vector<std::string> out = texts(members);
    if (const auto* more = object.if_contains("additionalProperties"); more != nullptr && !more->is_null()) {
      const bool is_never = more->is_bool() && !more->get_bool();
      out.push_back(absl::StrCat(inner, "[k: string]: ", is_never ? "never" : type(*more, inner)));
    }
    return braced(out, indent);
  }

  static std::string braced(const std::vector<std::string>& fields, const std::string& indent) {
    return fields.empty() ? "{}" : absl::StrCat("{\n", absl::StrJoin(fields, ",\n"), "\n", indent, "}");
  }

  struct Field {
    bool optional;
    std::string text;
  };

  // In the schema's order.
  static std::vector<Field> fields(const base::JsonObject& object, const std::string& indent) {
    std::vector<Field> out;
    const auto* properties = object.if_contains("properties");
    if (properties == nullptr) return out;
    const auto* required = object.if_contains("required");
    for (const auto& member : properties->get_object()) {
      const base::JsonValue name(member.key());
      const bool optional = required == nullptr || std::find(required->get_array().begin(), required->get_array().end(),
                                                             name) == required->get_array().end();
      const base::JsonValue& schema = member.value();
      out.push_back(
          {optional, absl::StrCat(comments(schema, indent), default_comment(schema, indent), indent,
                                  to_string(name.get_string()), optional ? "?: " : ": ", type(schema, indent))});
    }
    return out;
  }

  static std::string default_comment(const base::JsonValue& schema, const std::string& indent) {
    const auto* value = schema.is_object() ? schema.get_object().if_contains("default") : nullptr;
    if (value == nullptr || value->is_null()) return "";
    const bool is_number = value->is_number() || value->is_bool();
    return absl::StrCat(indent, "// Default: ", is_number ? python_text(*value) : python_json(*value), "\n");
  }

  static std::vector<std::string> texts(const std::vector<Field>& fields) {
    std::vector<std::string> out;
    for (const Field& field : fields) out.push_back(field.text);
    return out;
  }

  static std::string comments(const base::JsonValue& schema, const std::string& indent) {
    std::string out;
    if (!schema.is_object()) return out;
    if (const auto* text = description_of(schema.get_object())) out = comment(to_string(*text), indent) + "\n";
    const Form form = form_of(schema).value_or(Form::kAny);
    if (form != Form::kScalar && form != Form::kArray) return out;
    const base::JsonObject& object = schema.get_object();
    std::vector<std::string> limits;
    for (const char* name : constraints_of(to_string(object.at("type").get_string()))) {
      const auto* value = object.if_contains(name);
      if (value != nullptr) limits.push_back(absl::StrCat(name, ": ", python_text(*value)));
    }
    if (!limits.empty()) absl::StrAppend(&out, indent, "// ", absl::StrJoin(limits, ", "), "\n");
    return out;
  }

  std::vector<std::pair<std::string, const base::JsonValue*>> definitions_;  // in the order of their first mention
  bool refers_to_itself_ = false;
};

}  // namespace

base::JsonValue sorted_members(const base::JsonValue& value) {
  if (value.is_array()) {
    base::JsonArray out;
    for (const base::JsonValue& element : value.get_array()) out.push_back(sorted_members(element));
    return out;
  }
  if (!value.is_object()) return value;
  std::vector<const base::JsonObject::value_type*> members;
  for (const auto& member : value.get_object()) members.push_back(&member);
  std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) { return a->key() < b->key(); });
  base::JsonObject out;
  for (const auto* member : members) out[member->key()] = sorted_members(member->value());
  return out;
}

std::optional<std::string> declare_tools(const base::JsonArray& tools) {
  std::vector<std::string> functions;
  for (const base::JsonValue& tool : tools) {
    const auto* type = tool.get_object().if_contains("type");
    if (type == nullptr || *type != "function") continue;
    auto declared = Declaration().of(tool.get_object().at("function").get_object());
    if (!declared.has_value()) return std::nullopt;
    functions.push_back(*std::move(declared));
  }
  if (functions.empty()) return "";
  return absl::StrCat("# Tools\n\n## functions\nnamespace functions {\n", absl::StrJoin(functions, "\n"), "\n}\n");
}

}  // namespace polymath::api
