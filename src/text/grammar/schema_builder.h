#pragma once

// A JSON schema -> rules. Properties are written in the order in which the schema names them, then the others.
//
//   SchemaBuilder builder(pool, json, document, limits);
//   ASSIGN_OR_RETURN(ExprId root, builder.build());

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/grammar/json_text.h"
#include "text/grammar/schema_shape.h"

namespace polymath::text::grammar {

class SchemaBuilder {
 public:
  // REQUIRES: all outlive this.
  SchemaBuilder(ExprPool& pool, JsonText& json, const base::JsonValue& document, const GrammarLimits& limits);
  absl::StatusOr<ExprId> build();

 private:
  // What an object's member may be named, and which schemas its value has to satisfy.
  struct Member {
    ExprId name = kNothing;  // with its quotes
    Conjunction schemas;
    bool required = false;
  };
  struct Members;

  ExprId rule_of(const Conjunction& schemas);
  bool never(const Conjunction& schemas) const;
  absl::StatusOr<ExprId> language(const Conjunction& schemas);
  absl::StatusOr<ExprId> shape_language(const Shape& shape);
  absl::StatusOr<ExprId> values_language(const Shape& shape);
  absl::StatusOr<bool> accepts(const Shape& shape, const base::JsonValue& value);
  absl::StatusOr<ExprId> array_language(const Shape& shape);
  absl::StatusOr<ExprId> object_language(const Shape& shape);
  absl::StatusOr<std::vector<Member>> named_members(const Shape& shape);
  absl::StatusOr<std::vector<Member>> other_members(const Shape& shape);
  absl::StatusOr<ExprId> names_language(const Conjunction& names);
  absl::StatusOr<Conjunction> schemas_of_name(const Shape& shape, const std::string& name);
  absl::StatusOr<ExprId> pattern(std::string_view pattern);
  ExprId member_text(const Member& member);
  absl::StatusOr<ExprId> members_language(const Shape& shape, const std::vector<Member>& named, ExprId other);
  absl::StatusOr<bool> disjoint(const Shape& a, const Shape& b);
  absl::StatusOr<bool> disjoint_objects(const Shape& a, const Shape& b);
  absl::StatusOr<bool> disjoint_schemas(const Conjunction& a, const Conjunction& b);

  ExprPool& pool_;
  JsonText& json_;
  const base::JsonValue& document_;
  const GrammarLimits& limits_;
  ShapeReader shapes_;
  std::map<Conjunction, ExprId> rules_;
  std::deque<std::pair<int, Conjunction>> open_;  // rules without a body yet
  std::map<std::string, ExprId, std::less<>> patterns_;
  int disjoint_depth_ = 0;
};

}  // namespace polymath::text::grammar
