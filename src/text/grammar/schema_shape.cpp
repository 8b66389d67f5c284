#include "text/grammar/schema_shape.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/edit_distance.h"

namespace polymath::text::grammar {
namespace {

absl::Status wrong(std::string_view keyword, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("schema: ", std::string(keyword), " ", std::string(what)));
}
absl::Status missing(std::string_view keyword, std::string_view what) {
  return absl::UnimplementedError(absl::StrCat("schema: ", std::string(keyword), " ", std::string(what)));
}

std::string_view view(const boost::json::string& s) { return {s.data(), s.size()}; }

// Keywords of some draft, or of OpenAPI, that restrict values and are not built.
constexpr std::string_view kNotBuilt[] = {
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "additionalItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "nullable",
    "divisibleBy",
    "disallow",
    "extends",
    "formatMinimum",
    "formatMaximum",
    "formatExclusiveMinimum",
    "formatExclusiveMaximum",
};

absl::StatusOr<int> read_count(const base::JsonValue& value, std::string_view keyword, int max) {
  const auto count = base::whole_number(value);
  if (!count.has_value() || *count < 0) return wrong(keyword, "must be a whole number from 0 on");
  if (*count > max) return wrong(keyword, absl::StrCat("is ", *count, ", more than ", max));
  return static_cast<int>(*count);
}

absl::StatusOr<uint8_t> type_of_name(std::string_view name) {
  constexpr std::pair<std::string_view, uint8_t> kTypes[] = {
      {"null", kNullType},     {"boolean", kBooleanType}, {"integer", kIntegerType}, {"number", kNumberType},
      {"string", kStringType}, {"array", kArrayType},     {"object", kObjectType}};
  for (const auto& [known, type] : kTypes) {
    if (name == known) return type;
  }
  return wrong("type", absl::StrCat("has no type ", std::string(name)));
}

absl::StatusOr<uint8_t> read_types(const base::JsonValue& value) {
  if (value.is_string()) return type_of_name(view(value.get_string()));
  if (!value.is_array()) return wrong("type", "must be a string or an array of strings");
  uint8_t types = 0;
  for (const base::JsonValue& name : value.get_array()) {
    if (!name.is_string()) return wrong("type", "must be a string or an array of strings");
    ASSIGN_OR_RETURN(const uint8_t type, type_of_name(view(name.get_string())));
    types |= type;
  }
  return types;
}

// A keyword that changes each shape on its own.
struct Keyword {
  std::string_view name;
  absl::Status (*apply)(Shape& shape, const base::JsonValue& value, const GrammarLimits& limits);
};

absl::Status keep_values(Shape& shape, std::vector<const base::JsonValue*> values) {
  if (!shape.values.has_value()) {
    shape.values = std::move(values);
    return absl::OkStatus();
  }
  std::erase_if(*shape.values, [&](const base::JsonValue* kept) {
    return std::none_of(values.begin(), values.end(), [&](const base::JsonValue* v) { return *v == *kept; });
  });
  return absl::OkStatus();
}

template <int Shape::*field>
absl::Status raise(Shape& shape, const base::JsonValue& value, std::string_view name, const GrammarLimits& limits) {
  ASSIGN_OR_RETURN(const int count, read_count(value, name, limits.repeat_max));
  shape.*field = std::max(shape.*field, count);
  return absl::OkStatus();
}

template <int Shape::*field>
absl::Status lower(Shape& shape, const base::JsonValue& value, std::string_view name, const GrammarLimits& limits) {
  ASSIGN_OR_RETURN(const int count, read_count(value, name, limits.repeat_max));
  shape.*field = shape.*field == kUnbounded ? count : std::min(shape.*field, count);
  return absl::OkStatus();
}

template <std::vector<std::string> Shape::*field>
absl::Status add_text(Shape& shape, const base::JsonValue& value, std::string_view name) {
  if (!value.is_string()) return wrong(name, "must be a string");
  (shape.*field).emplace_back(view(value.get_string()));
  return absl::OkStatus();
}

absl::Status check_number(const base::JsonValue& value, std::string_view name) {
  return value.is_number() ? absl::OkStatus() : wrong(name, "must be a number");
}

constexpr Keyword kKeywords[] = {
    {"type",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       const auto types = read_types(v);
       if (types.ok()) s.types &= *types;
       return types.status();
     }},
    {"const", [](Shape& s, const base::JsonValue& v, const GrammarLimits&) { return keep_values(s, {&v}); }},
    {"enum",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits& limits) {
       if (!v.is_array()) return wrong("enum", "must be an array");
       if (v.get_array().size() > static_cast<size_t>(limits.choices_max)) {
         return wrong("enum", absl::StrCat("has more than ", limits.choices_max, " values"));
       }
       std::vector<const base::JsonValue*> values;
       for (const base::JsonValue& one : v.get_array()) values.push_back(&one);
       return keep_values(s, std::move(values));
     }},
    {"minLength", [](Shape& s, const base::JsonValue& v,
                     const GrammarLimits& l) { return raise<&Shape::length_min>(s, v, "minLength", l); }},
    {"maxLength", [](Shape& s, const base::JsonValue& v,
                     const GrammarLimits& l) { return lower<&Shape::length_max>(s, v, "maxLength", l); }},
    {"minItems", [](Shape& s, const base::JsonValue& v,
                    const GrammarLimits& l) { return raise<&Shape::items_min>(s, v, "minItems", l); }},
    {"maxItems", [](Shape& s, const base::JsonValue& v,
                    const GrammarLimits& l) { return lower<&Shape::items_max>(s, v, "maxItems", l); }},
    {"minProperties", [](Shape& s, const base::JsonValue& v,
                         const GrammarLimits& l) { return raise<&Shape::members_min>(s, v, "minProperties", l); }},
    {"maxProperties", [](Shape& s, const base::JsonValue& v,
                         const GrammarLimits& l) { return lower<&Shape::members_max>(s, v, "maxProperties", l); }},
    {"pattern", [](Shape& s, const base::JsonValue& v,
                   const GrammarLimits&) { return add_text<&Shape::patterns>(s, v, "pattern"); }},
    {"format", [](Shape& s, const base::JsonValue& v,
                  const GrammarLimits&) { return add_text<&Shape::formats>(s, v, "format"); }},
    {"minimum",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       s.at_least.push_back({&v, false});
       return check_number(v, "minimum");
     }},
    {"exclusiveMinimum",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       s.at_least.push_back({&v, true});
       return check_number(v, "exclusiveMinimum");
     }},
    {"maximum",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       s.at_most.push_back({&v, false});
       return check_number(v, "maximum");
     }},
    {"exclusiveMaximum",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       s.at_most.push_back({&v, true});
       return check_number(v, "exclusiveMaximum");
     }},
    {"multipleOf",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       s.multiples.push_back(&v);
       return check_number(v, "multipleOf");
     }},
    {"uniqueItems",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       if (!v.is_bool()) return wrong("uniqueItems", "must be true or false");
       s.unique = s.unique || v.get_bool();
       return absl::OkStatus();
     }},
    {"required",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       if (!v.is_array()) return wrong("required", "must be an array of strings");
       for (const base::JsonValue& name : v.get_array()) {
         if (!name.is_string()) return wrong("required", "must be an array of strings");
         const std::string text(name.get_string());
         if (std::find(s.required.begin(), s.required.end(), text) == s.required.end()) s.required.push_back(text);
       }
       return absl::OkStatus();
     }},
    {"propertyNames",
     [](Shape& s, const base::JsonValue& v, const GrammarLimits&) {
       add_to(s.names, &v);
       return absl::OkStatus();
     }},
};

constexpr std::string_view kTogether[] = {"properties", "patternProperties", "additionalProperties", "prefixItems",
                                          "items"};
constexpr std::string_view kBranching[] = {"$ref", "allOf", "anyOf", "oneOf"};

// As the draft says, a word that no keyword has is a note. A slip of the pen must not become one.
absl::Status check_spelling(std::string_view name) {
  constexpr size_t kLettersMin = 6, kSlipsMax = 1;
  if (name.size() < kLettersMin || name.front() == '_' || name == "examples") return absl::OkStatus();
  const auto check = [&](std::string_view keyword) {
    const bool other_case = absl::EqualsIgnoreCase(std::string(name), std::string(keyword));
    if (!other_case && base::edit_distance(name, keyword) > kSlipsMax) return absl::OkStatus();
    return missing(std::string(name.substr(0, 64)),
                   absl::StrCat("is not a keyword: do you mean ", std::string(keyword)));
  };
  for (const Keyword& keyword : kKeywords) RETURN_IF_ERROR(check(keyword.name));
  for (const std::string_view keyword : kTogether) RETURN_IF_ERROR(check(keyword));
  return absl::OkStatus();
}

template <typename List>
bool contains(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

absl::StatusOr<const base::JsonObject*> object_member(const base::JsonObject& schema, std::string_view name) {
  const auto* value = schema.if_contains(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) return wrong(name, "must be an object");
  return &value->get_object();
}

absl::Status add_parts(std::vector<Shape>& shapes, const base::JsonObject& schema) {
  ObjectPart object;
  ASSIGN_OR_RETURN(object.properties, object_member(schema, "properties"));
  ASSIGN_OR_RETURN(object.patterns, object_member(schema, "patternProperties"));
  object.additional = schema.if_contains("additionalProperties");
  ArrayPart array;
  array.items = schema.if_contains("items");
  if (array.items != nullptr && array.items->is_array()) return missing("items", "as an array is not supported");
  if (const auto* prefix = schema.if_contains("prefixItems")) {
    if (!prefix->is_array()) return wrong("prefixItems", "must be an array");
    array.prefix = &prefix->get_array();
  }
  for (Shape& shape : shapes) {
    if (object.properties != nullptr || object.patterns != nullptr || object.additional != nullptr) {
      shape.objects.push_back(object);
    }
    if (array.prefix != nullptr || array.items != nullptr) shape.arrays.push_back(array);
  }
  return absl::OkStatus();
}

}  // namespace

void add_to(Conjunction& list, const base::JsonValue* schema) {
  const auto at = std::lower_bound(list.begin(), list.end(), schema, std::less<>());
  if (at == list.end() || *at != schema) list.insert(at, schema);
}

absl::StatusOr<std::vector<Shape>> ShapeReader::read(const Conjunction& schemas) {
  Shapes shapes(1);
  for (const base::JsonValue* schema : schemas) RETURN_IF_ERROR(apply(shapes, *schema, 0));
  return shapes;
}

absl::Status ShapeReader::check_count(const Shapes& shapes) const {
  if (shapes.size() <= static_cast<size_t>(limits_.branches_max)) return absl::OkStatus();
  return wrong("anyOf", absl::StrCat("and oneOf multiply to more than ", limits_.branches_max, " branches"));
}

absl::Status ShapeReader::apply(Shapes& shapes, const base::JsonValue& schema, int depth) {
  if (depth > limits_.depth_max) return wrong("$ref", "leads back to itself, or schemas nest too deep");
  if (schema.is_bool()) {
    if (!schema.get_bool()) shapes.clear();
    return absl::OkStatus();
  }
  if (!schema.is_object()) return absl::InvalidArgumentError("schema: must be an object, true or false");
  const base::JsonObject& object = schema.get_object();
  // A $ref in it would mean another place.
  if (&schema != &document_ && object.contains("$id")) return missing("$id", "is supported at the root alone");
  RETURN_IF_ERROR(apply_keywords(shapes, object));
  RETURN_IF_ERROR(add_parts(shapes, object));
  if (const auto* reference = object.if_contains("$ref")) {
    if (!reference->is_string()) return wrong("$ref", "must be a string");
    ASSIGN_OR_RETURN(const base::JsonValue* target, resolve(view(reference->get_string())));
    RETURN_IF_ERROR(apply(shapes, *target, depth + 1));
  }
  if (const auto* all = object.if_contains("allOf")) {
    if (!all->is_array()) return wrong("allOf", "must be an array");
    for (const base::JsonValue& one : all->get_array()) RETURN_IF_ERROR(apply(shapes, one, depth + 1));
  }
  for (const std::string_view name : {"anyOf", "oneOf"}) {
    const auto* list = object.if_contains(name);
    if (list != nullptr) RETURN_IF_ERROR(apply_branches(shapes, *list, name == "oneOf", depth + 1));
  }
  std::erase_if(shapes, [](const Shape& s) { return s.types == 0; });
  return check_count(shapes);
}

absl::Status ShapeReader::apply_keywords(Shapes& shapes, const base::JsonObject& schema) {
  for (const auto& member : schema) {
    const std::string_view name(member.key().data(), member.key().size());
    if (contains(kTogether, name) || contains(kBranching, name)) continue;
    if (contains(kNotBuilt, name)) return missing(name, "is not supported");
    const auto* const row =
        std::find_if(std::begin(kKeywords), std::end(kKeywords), [&](const Keyword& k) { return k.name == name; });
    if (row == std::end(kKeywords)) {
      RETURN_IF_ERROR(check_spelling(name));
      continue;
    }
    for (Shape& shape : shapes) RETURN_IF_ERROR(row->apply(shape, member.value(), limits_));
  }
  return absl::OkStatus();
}

absl::Status ShapeReader::apply_branches(Shapes& shapes, const base::JsonValue& list, bool exactly_one, int depth) {
  const std::string_view name = exactly_one ? "oneOf" : "anyOf";
  if (!list.is_array() || list.get_array().empty()) return wrong(name, "must be an array with at least one schema");
  std::vector<Shapes> branches;
  size_t n = 0;
  for (const base::JsonValue& branch : list.get_array()) {
    branches.push_back(shapes);
    RETURN_IF_ERROR(apply(branches.back(), branch, depth));
    n += branches.back().size();
    if (n > static_cast<size_t>(limits_.branches_max)) return check_count(Shapes(n));
  }
  shapes.clear();
  for (size_t i = 0; i < branches.size(); ++i) {
    for (size_t j = i + 1; j < branches.size() && exactly_one; ++j) {
      ASSIGN_OR_RETURN(const bool apart, disjoint(branches[i], branches[j]));
      if (apart) continue;
      return missing("oneOf", absl::StrCat("cannot be held: a value may match its schemas ", i + 1, " and ", j + 1));
    }
    shapes.insert(shapes.end(), branches[i].begin(), branches[i].end());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ShapeReader::disjoint(const Shapes& a, const Shapes& b) const {
  for (const Shape& left : a) {
    for (const Shape& right : b) {
      ASSIGN_OR_RETURN(const bool apart, disjoint_(left, right));
      if (!apart) return false;
    }
  }
  return true;
}

absl::StatusOr<const base::JsonValue*> ShapeReader::resolve(std::string_view reference) const {
  std::string_view pointer = reference;
  if (document_.is_object()) {
    const auto* id = document_.get_object().if_contains("$id");
    if (id != nullptr && id->is_string() && pointer.starts_with(view(id->get_string()))) {
      pointer.remove_prefix(id->get_string().size());
    }
  }
  if (pointer.empty() || pointer == "#") return &document_;
  if (!pointer.starts_with("#/")) {
    return missing("$ref",
                   absl::StrCat("is not supported outside of the schema: ", std::string(reference.substr(0, 200))));
  }
  std::string decoded;
  pointer.remove_prefix(1);
  for (size_t i = 0; i < pointer.size(); ++i) {
    // Two digits behind a percent sign are a byte.
    int value = 0;
    const char* const digits = pointer.data() + i + 1;
    const bool escaped =
        pointer[i] == '%' && i + 2 < pointer.size() && std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2;
    decoded += escaped ? static_cast<char>(value) : pointer[i];
    if (escaped) i += 2;
  }
  boost::system::error_code error;
  const base::JsonValue* target = document_.find_pointer(decoded, error);
  if (target == nullptr) return wrong("$ref", absl::StrCat("leads nowhere: ", std::string(reference.substr(0, 200))));
  return target;
}

}  // namespace polymath::text::grammar
