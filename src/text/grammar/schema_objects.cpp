// Objects of a schema: names, their order, and how many members there are.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "text/grammar/code_points.h"
#include "text/grammar/schema_builder.h"
#include "text/grammar/schema_scalars.h"

namespace polymath::text::grammar {
namespace {

constexpr int kPatternsMax = 6;  // patternProperties of one object, whose subsets are taken apart; more: refused
constexpr int kCountedRulesMax = 20'000;  // of an object with minProperties or maxProperties; more: refused

}  // namespace

absl::StatusOr<ExprId> SchemaBuilder::pattern(std::string_view pattern) {
  if (const auto known = patterns_.find(pattern); known != patterns_.end()) return known->second;
  ASSIGN_OR_RETURN(const ExprId language, pattern_language(pool_, pattern, limits_));
  patterns_.emplace(pattern, language);
  return language;
}

absl::StatusOr<Conjunction> SchemaBuilder::schemas_of_name(const Shape& shape, const std::string& name) {
  Conjunction schemas;
  const std::string quoted = json_quoted(name);
  for (const ObjectPart& part : shape.objects) {
    bool known = false;
    if (part.properties != nullptr) {
      if (const auto* own = part.properties->if_contains(name)) {
        add_to(schemas, own);
        known = true;
      }
    }
    if (part.patterns != nullptr) {
      for (const auto& member : *part.patterns) {
        ASSIGN_OR_RETURN(const ExprId language, pattern({member.key().data(), member.key().size()}));
        if (!pool_.matches(language, quoted)) continue;
        add_to(schemas, &member.value());
        known = true;
      }
    }
    if (!known && part.additional != nullptr) add_to(schemas, part.additional);
  }
  return schemas;
}

// The properties that the schema names, in its order, then required ones that it does not.
absl::StatusOr<std::vector<SchemaBuilder::Member>> SchemaBuilder::named_members(const Shape& shape) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  };
  for (const ObjectPart& part : shape.objects) {
    if (part.properties == nullptr) continue;
    for (const auto& member : *part.properties) add({member.key().data(), member.key().size()});
  }
  for (const std::string& name : shape.required) add(name);
  ASSIGN_OR_RETURN(const ExprId allowed, names_language(shape.names));
  std::vector<Member> members;
  for (const std::string& name : names) {
    const std::string quoted = json_quoted(name);
    Member member{.name = pool_.text(quoted)};
    ASSIGN_OR_RETURN(member.schemas, schemas_of_name(shape, name));
    member.required = std::find(shape.required.begin(), shape.required.end(), name) != shape.required.end();
    static const base::JsonValue kNever = false;
    if (!pool_.matches(allowed, quoted)) add_to(member.schemas, &kNever);
    members.push_back(std::move(member));
  }
  return members;
}

// The strings that propertyNames allows.
absl::StatusOr<ExprId> SchemaBuilder::names_language(const Conjunction& names) {
  Shape any;
  any.types = kStringType;
  if (names.empty()) return plain_string_language(pool_, any, limits_);
  ASSIGN_OR_RETURN(const std::vector<Shape> shapes, shapes_.read(names));
  std::vector<ExprId> parts;
  for (Shape shape : shapes) {
    if ((shape.types & kStringType) == 0) continue;
    shape.types = kStringType;
    const auto part = shape.values.has_value() ? values_language(shape) : plain_string_language(pool_, shape, limits_);
    RETURN_IF_ERROR(part.status());
    parts.push_back(*part);
  }
  return pool_.alt(std::move(parts));
}

// Members of other names, by the set of patterns that a name matches.
absl::StatusOr<std::vector<SchemaBuilder::Member>> SchemaBuilder::other_members(const Shape& shape) {
  std::vector<std::string> quoted;
  std::vector<std::pair<ExprId, const base::JsonValue*>> patterns;
  for (const ObjectPart& part : shape.objects) {
    if (part.properties != nullptr) {
      for (const auto& member : *part.properties) quoted.push_back(json_quoted(member.key()));
    }
    if (part.patterns == nullptr) continue;
    for (const auto& member : *part.patterns) {
      ASSIGN_OR_RETURN(const ExprId language, pattern({member.key().data(), member.key().size()}));
      patterns.emplace_back(language, &member.value());
    }
  }
  for (const std::string& name : shape.required) quoted.push_back(json_quoted(name));
  if (patterns.size() > kPatternsMax) {
    return absl::UnimplementedError(
        absl::StrCat("schema: more than ", kPatternsMax, " patternProperties of one object are not supported"));
  }
  ASSIGN_OR_RETURN(const ExprId allowed, names_language(shape.names));
  const ExprId base = pool_.both({allowed, pool_.inverse(pool_.any_of(std::move(quoted)))});
  std::vector<Member> members;
  for (uint32_t subset = 0; subset < (1u << patterns.size()); ++subset) {
    Member member;
    std::vector<ExprId> names = {base};
    for (size_t p = 0; p < patterns.size(); ++p) {
      const bool in = ((subset >> p) & 1) != 0;
      names.push_back(in ? patterns[p].first : pool_.inverse(patterns[p].first));
      if (in) add_to(member.schemas, patterns[p].second);
    }
    // additionalProperties of a part apply where none of its own patterns matches.
    size_t p = 0;
    for (const ObjectPart& part : shape.objects) {
      const size_t n = part.patterns == nullptr ? 0 : part.patterns->size();
      const uint32_t own = ((1u << n) - 1) << p;
      if (part.additional != nullptr && (subset & own) == 0) add_to(member.schemas, part.additional);
      p += n;
    }
    member.name = pool_.both(std::move(names));
    if (!never(member.schemas) && pool_.alive(member.name)) members.push_back(std::move(member));
  }
  return members;
}

ExprId SchemaBuilder::member_text(const Member& member) {
  const ExprId value = member.schemas.empty() ? json_.value() : rule_of(member.schemas);
  return pool_.concat({member.name, json_.colon(), value});
}

absl::StatusOr<ExprId> SchemaBuilder::object_language(const Shape& shape) {
  if (shape.members_max != kUnbounded && shape.members_max < shape.members_min) return kNothing;
  ASSIGN_OR_RETURN(const std::vector<Member> named, named_members(shape));
  ASSIGN_OR_RETURN(const std::vector<Member> others, other_members(shape));
  std::vector<ExprId> other;
  for (const Member& member : others) other.push_back(member_text(member));
  ASSIGN_OR_RETURN(const ExprId members, members_language(shape, named, pool_.alt(std::move(other))));
  return pool_.concat({pool_.text("{"), json_.blank(), members, pool_.text("}")});
}

// A rule is made for a place among the named members and a count of those before it. Other members may repeat a name.
// So their count is the object's only up to one of them.
absl::StatusOr<ExprId> SchemaBuilder::members_language(const Shape& shape, const std::vector<Member>& named,
                                                       ExprId other) {
  const int n = static_cast<int>(named.size());
  const int n_required =
      static_cast<int>(std::count_if(named.begin(), named.end(), [](auto& m) { return m.required; }));
  if (shape.members_min > n_required + 1 && other != kNothing) {
    return absl::UnimplementedError("schema: minProperties is not supported where members of any name may count");
  }
  const bool counted = shape.members_max != kUnbounded || shape.members_min > n_required;
  const int count_max = counted ? std::min(n, std::max(shape.members_max, shape.members_min) + 1) : std::min(n, 1);
  if (int64_t{n} * count_max > kCountedRulesMax) {
    return absl::UnimplementedError("schema: minProperties or maxProperties of so many properties is not supported");
  }
  const auto comma = [&](int count, ExprId member) {
    return count == 0 ? member : pool_.concat(json_.comma(), member);
  };
  // Behind the named members, of which `count` are there.
  std::vector<ExprId> rest(static_cast<size_t>(count_max) + 1);
  for (int count = 0; count <= count_max; ++count) {
    const int least = counted ? std::max(0, shape.members_min - count) : 0;
    const int most = shape.members_max == kUnbounded ? kUnbounded : shape.members_max - count;
    ExprId& to = rest[static_cast<size_t>(count)];
    to = kNothing;
    const bool too_many = shape.members_max != kUnbounded && (count > shape.members_max || most < least);
    if (too_many) continue;
    const ExprId more = pool_.concat(json_.comma(), other);
    if (count > 0) {
      to = pool_.concat(pool_.repeat(more, least, most), json_.blank());
    } else if (most == 0 || other == kNothing) {
      to = least == 0 ? kEpsilon : kNothing;
    } else {
      const ExprId following = pool_.repeat(more, std::max(0, least - 1), most == kUnbounded ? most : most - 1);
      to = pool_.concat({other, following, json_.blank()});
      if (least == 0) to = pool_.optional(to);
    }
  }
  for (int i = n; i-- > 0;) {
    const Member& member = named[static_cast<size_t>(i)];
    const ExprId text = never(member.schemas) ? kNothing : member_text(member);
    std::vector<ExprId> before(rest.size());
    for (int count = 0; count <= count_max; ++count) {
      const int after = std::min(count + 1, count_max);
      const ExprId with = pool_.concat(comma(count, text), rest[static_cast<size_t>(after)]);
      const int rule = pool_.new_rule();
      pool_.set_rule(rule, member.required ? with : pool_.alt({with, rest[static_cast<size_t>(count)]}));
      before[static_cast<size_t>(count)] = pool_.rule(rule);
    }
    rest = std::move(before);
  }
  return rest.front();
}

}  // namespace polymath::text::grammar
