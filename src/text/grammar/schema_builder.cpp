#include "text/grammar/schema_builder.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "text/grammar/code_points.h"
#include "text/grammar/languages.h"
#include "text/grammar/schema_scalars.h"

namespace polymath::text::grammar {
namespace {

constexpr int kDisjointDepthMax = 4;  // of properties that distinguish branches of oneOf; deeper: taken as overlapping

uint8_t types_of(const base::JsonValue& value) {
  if (value.is_null()) return kNullType;
  if (value.is_bool()) return kBooleanType;
  if (value.is_string()) return kStringType;
  if (value.is_array()) return kArrayType;
  if (value.is_object()) return kObjectType;
  const bool whole = number_text(value).find_first_of(".e") == std::string::npos || base::whole_number(value);
  return whole ? kIntegerType : kFractionType;
}

}  // namespace

SchemaBuilder::SchemaBuilder(ExprPool& pool, JsonText& json, const base::JsonValue& document,
                             const GrammarLimits& limits)
    : pool_(pool), json_(json), document_(document), limits_(limits), shapes_(document, limits) {
  shapes_.set_disjoint([this](const Shape& a, const Shape& b) { return disjoint(a, b); });
}

absl::StatusOr<ExprId> SchemaBuilder::build() {
  const ExprId root = rule_of({&document_});
  while (!open_.empty()) {
    const auto [rule, schemas] = std::move(open_.front());
    open_.pop_front();
    ASSIGN_OR_RETURN(const ExprId body, language(schemas));
    pool_.set_rule(rule, body);
    if (pool_.n_rules() > limits_.rules_max) {
      return absl::InvalidArgumentError(absl::StrCat("schema: needs more than ", limits_.rules_max, " rules"));
    }
    if (pool_.failed()) return absl::InvalidArgumentError(absl::StrCat("schema: ", pool_.failure()));
  }
  return root;
}

ExprId SchemaBuilder::rule_of(const Conjunction& schemas) {
  if (never(schemas)) return kNothing;
  const auto [at, is_new] = rules_.try_emplace(schemas, kNothing);
  if (is_new) {
    const int rule = pool_.new_rule();
    at->second = pool_.rule(rule);
    open_.emplace_back(rule, schemas);
  }
  return at->second;
}

bool SchemaBuilder::never(const Conjunction& schemas) const {
  return std::any_of(schemas.begin(), schemas.end(),
                     [](const base::JsonValue* s) { return s->is_bool() && !s->get_bool(); });
}

absl::StatusOr<ExprId> SchemaBuilder::language(const Conjunction& schemas) {
  ASSIGN_OR_RETURN(const std::vector<Shape> shapes, shapes_.read(schemas));
  std::vector<ExprId> parts;
  for (const Shape& shape : shapes) {
    ASSIGN_OR_RETURN(const ExprId part, shape_language(shape));
    parts.push_back(part);
  }
  return pool_.alt(std::move(parts));
}

absl::StatusOr<ExprId> SchemaBuilder::shape_language(const Shape& shape) {
  if (shape.values.has_value()) return values_language(shape);
  std::vector<ExprId> parts;
  if ((shape.types & kNullType) != 0) parts.push_back(pool_.text("null"));
  if ((shape.types & kBooleanType) != 0) parts.push_back(pool_.any_of({"true", "false"}));
  if ((shape.types & kNumberType) != 0) {
    ASSIGN_OR_RETURN(const ExprId part, number_language(pool_, json_, shape));
    parts.push_back(part);
  }
  if ((shape.types & kStringType) != 0) {
    ASSIGN_OR_RETURN(const ExprId part, string_language(pool_, json_, shape, limits_));
    parts.push_back(part);
  }
  if ((shape.types & kArrayType) != 0) {
    ASSIGN_OR_RETURN(const ExprId part, array_language(shape));
    parts.push_back(part);
  }
  if ((shape.types & kObjectType) != 0) {
    ASSIGN_OR_RETURN(const ExprId part, object_language(shape));
    parts.push_back(part);
  }
  return pool_.alt(std::move(parts));
}

// enum and const, as far as the other keywords allow them.
absl::StatusOr<ExprId> SchemaBuilder::values_language(const Shape& shape) {
  std::vector<std::string> texts;
  std::vector<ExprId> parts;
  for (const base::JsonValue* value : *shape.values) {
    ASSIGN_OR_RETURN(const bool accepted, accepts(shape, *value));
    if (!accepted) continue;
    if (value->is_string()) {
      texts.push_back(json_quoted(value->get_string()));
    } else {
      parts.push_back(json_.literal(*value));
    }
  }
  parts.push_back(pool_.any_of(std::move(texts)));
  return pool_.alt(std::move(parts));
}

absl::StatusOr<bool> SchemaBuilder::accepts(const Shape& shape, const base::JsonValue& value) {
  const uint8_t type = types_of(value);
  if ((shape.types & type) == 0) return false;
  if ((type & kNumberType) != 0) {
    ASSIGN_OR_RETURN(const ExprId numbers, number_language(pool_, json_, shape));
    return pool_.matches(numbers, number_text(value));
  }
  if (type == kStringType) {
    ASSIGN_OR_RETURN(const ExprId strings, plain_string_language(pool_, shape, limits_));
    return pool_.matches(strings, json_quoted(value.get_string()));
  }
  const bool bare_array =
      shape.arrays.empty() && shape.items_min == 0 && shape.items_max == kUnbounded && !shape.unique;
  const bool bare_object = shape.objects.empty() && shape.required.empty() && shape.names.empty() &&
                           shape.members_min == 0 && shape.members_max == kUnbounded;
  if ((type == kArrayType && bare_array) || (type == kObjectType && bare_object)) return true;
  if (type == kArrayType || type == kObjectType) {
    return absl::UnimplementedError("schema: enum and const of arrays and objects beside their keywords");
  }
  return true;
}

absl::StatusOr<ExprId> SchemaBuilder::array_language(const Shape& shape) {
  if (shape.items_max != kUnbounded && shape.items_max < shape.items_min) return kNothing;
  if (shape.unique && shape.items_max != 0 && shape.items_max != 1) {
    return absl::UnimplementedError("schema: uniqueItems is not supported");
  }
  size_t n_prefix = 0;
  for (const ArrayPart& part : shape.arrays)
    n_prefix = std::max(n_prefix, part.prefix == nullptr ? 0 : part.prefix->size());
  const auto item_at = [&](size_t i) {
    Conjunction schemas;
    for (const ArrayPart& part : shape.arrays) {
      if (part.prefix != nullptr && i < part.prefix->size()) {
        add_to(schemas, &(*part.prefix)[i]);
      } else if (part.items != nullptr) {
        add_to(schemas, part.items);
      }
    }
    return schemas.empty() ? json_.value() : rule_of(schemas);
  };
  // From the end: what may follow i items. Behind the prefix all are alike.
  const auto n = static_cast<int>(n_prefix);
  const auto with_comma = [&](int i, ExprId item) { return i == 0 ? item : pool_.concat(json_.comma(), item); };
  const int most = shape.items_max == kUnbounded ? kUnbounded : std::max(0, shape.items_max - n);
  const int least = std::max(0, shape.items_min - n);
  ExprId rest = kEpsilon;
  if (most != 0) {
    const ExprId item = item_at(n_prefix), more = pool_.concat(json_.comma(), item);
    if (n > 0) {
      rest = pool_.repeat(more, least, most);
    } else {
      rest = pool_.concat(item, pool_.repeat(more, std::max(0, least - 1), most == kUnbounded ? most : most - 1));
      rest = pool_.concat(rest, json_.blank());
    }
    if (n == 0 && least == 0) rest = pool_.optional(rest);
  } else if (least > 0) {
    rest = kNothing;
  }
  if (n > 0) rest = pool_.concat(rest, json_.blank());
  for (int i = n; i-- > 0;) {
    const bool may_go_on = shape.items_max == kUnbounded || i < shape.items_max;
    ExprId next = may_go_on ? pool_.concat(with_comma(i, item_at(static_cast<size_t>(i))), rest) : kNothing;
    if (i >= shape.items_min) next = pool_.alt({i == 0 ? kEpsilon : json_.blank(), next});
    rest = next;
  }
  return pool_.concat({pool_.text("["), json_.blank(), rest, pool_.text("]")});
}

absl::StatusOr<bool> SchemaBuilder::disjoint(const Shape& a, const Shape& b) {
  const uint8_t types = a.types & b.types;
  if (a.values.has_value() || b.values.has_value()) {
    const Shape& listed = a.values.has_value() ? a : b;
    const Shape& other = a.values.has_value() ? b : a;
    for (const base::JsonValue* value : *listed.values) {
      ASSIGN_OR_RETURN(const bool of_one, accepts(listed, *value));
      if (!of_one || (types_of(*value) & other.types) == 0) continue;
      const auto equal = [&](const base::JsonValue* v) { return *v == *value; };
      if (other.values.has_value() && std::none_of(other.values->begin(), other.values->end(), equal)) continue;
      if ((types_of(*value) & (kArrayType | kObjectType)) != 0) return false;
      ASSIGN_OR_RETURN(const bool of_other, accepts(other, *value));
      if (of_other) return false;
    }
    return true;
  }
  if ((types & (kNullType | kBooleanType | kArrayType)) != 0) return false;
  if ((types & kStringType) != 0) {
    ASSIGN_OR_RETURN(const ExprId left, plain_string_language(pool_, a, limits_));
    ASSIGN_OR_RETURN(const ExprId right, plain_string_language(pool_, b, limits_));
    if (pool_.alive(pool_.both({left, right}))) return false;
  }
  if ((types & kNumberType) != 0) {
    ASSIGN_OR_RETURN(const ExprId left, number_language(pool_, json_, a));
    ASSIGN_OR_RETURN(const ExprId right, number_language(pool_, json_, b));
    if (pool_.alive(pool_.both({left, right}))) return false;
  }
  if ((types & kObjectType) == 0) return true;
  return disjoint_objects(a, b);
}

// A property that both require, with values of which none is of both; or one that the other forbids.
absl::StatusOr<bool> SchemaBuilder::disjoint_objects(const Shape& a, const Shape& b) {
  if (disjoint_depth_ >= kDisjointDepthMax) return false;
  for (const auto& [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    for (const std::string& name : from->required) {
      ASSIGN_OR_RETURN(const Conjunction of_to, schemas_of_name(*to, name));
      if (never(of_to)) return true;
      if (std::find(to->required.begin(), to->required.end(), name) == to->required.end()) continue;
      ASSIGN_OR_RETURN(const Conjunction of_from, schemas_of_name(*from, name));
      ASSIGN_OR_RETURN(const bool apart, disjoint_schemas(of_from, of_to));
      if (apart) return true;
    }
  }
  return false;
}

absl::StatusOr<bool> SchemaBuilder::disjoint_schemas(const Conjunction& a, const Conjunction& b) {
  ++disjoint_depth_;
  const absl::Cleanup leave = [&] { --disjoint_depth_; };
  ASSIGN_OR_RETURN(const std::vector<Shape> left, shapes_.read(a));
  ASSIGN_OR_RETURN(const std::vector<Shape> right, shapes_.read(b));
  return shapes_.disjoint(left, right);
}

absl::StatusOr<ExprId> read_json_schema(const Spec& spec, const GrammarLimits& limits, ExprPool& pool) {
  const base::JsonLimits bounds{.depth_max = static_cast<size_t>(limits.depth_max),
                                .bytes_max = limits.source_bytes_max};
  const auto document = base::parse_json(spec.source, bounds);
  if (!document.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("schema: ", std::string(document.status().message())));
  }
  ASSIGN_OR_RETURN(JsonText json, JsonText::make(pool, spec.whitespace, limits));
  return SchemaBuilder(pool, json, *document, limits).build();
}

}  // namespace polymath::text::grammar
