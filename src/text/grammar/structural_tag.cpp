// Structural tags: free text in which, behind a trigger, one of some tags must follow and be completed.
//
// vLLM 0.8's form has `structures` and `triggers`. The newer one has a `format`: see format_of for its types. Free text
// holds no special token; begins, ends and constant texts are written with the special tokens that they name. Source:
// xgrammar's documentation of structural tags.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "text/grammar/free_text.h"
#include "text/grammar/json_text.h"
#include "text/grammar/languages.h"
#include "text/grammar/schema_builder.h"

namespace polymath::text::grammar {
namespace {

absl::Status wrong(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("structural tag: ", std::string(what)));
}

class TagReader {
 public:
  TagReader(ExprPool& pool, JsonText& json, const Spec& spec, const GrammarLimits& limits)
      : pool_(pool), json_(json), limits_(limits), free_(pool, spec.specials) {}

  absl::StatusOr<ExprId> read(const base::JsonValue& document) {
    if (!document.is_object()) return wrong("must be an object");
    const base::JsonObject& object = document.get_object();
    if (const auto* format = object.if_contains("format")) return format_of(*format);
    Tags tags;
    ASSIGN_OR_RETURN(const base::JsonArray* structures, array(object, "structures"));
    for (const base::JsonValue& one : *structures) {
      if (!one.is_object()) return wrong("structures must be objects");
      ASSIGN_OR_RETURN(const std::string begin, text(one.get_object(), "begin"));
      ASSIGN_OR_RETURN(const std::string end, text(one.get_object(), "end"));
      const auto* schema = one.get_object().if_contains("schema");
      if (schema == nullptr) return wrong("a structure has no schema");
      ASSIGN_OR_RETURN(const ExprId content, schema_of(*schema));
      tags.push_back({begin, pool_.concat(content, free_.written(end))});
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> triggers, texts(object, "triggers"));
    return triggered(tags, triggers, false, false);
  }

 private:
  struct Tag {
    std::string begin;
    ExprId rest;  // content and end
  };
  using Tags = std::vector<Tag>;

  static absl::StatusOr<std::string> text(const base::JsonObject& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || !value->is_string()) return wrong(absl::StrCat(std::string(name), " must be a string"));
    return std::string(value->get_string());
  }
  absl::StatusOr<const base::JsonArray*> array(const base::JsonObject& object, std::string_view name) const {
    const auto* value = object.if_contains(name);
    if (value == nullptr || !value->is_array() || value->get_array().empty()) {
      return wrong(absl::StrCat(std::string(name), " must be an array with at least one entry"));
    }
    if (value->get_array().size() > static_cast<size_t>(limits_.choices_max)) {
      return wrong(absl::StrCat(std::string(name), " has more than ", limits_.choices_max, " entries"));
    }
    return &value->get_array();
  }
  absl::StatusOr<std::vector<std::string>> texts(const base::JsonObject& object, std::string_view name) const {
    ASSIGN_OR_RETURN(const base::JsonArray* list, array(object, name));
    std::vector<std::string> out;
    for (const base::JsonValue& one : *list) {
      if (!one.is_string() || one.get_string().empty()) {
        return wrong(absl::StrCat(std::string(name), " must be texts that are not empty"));
      }
      out.emplace_back(one.get_string());
    }
    return out;
  }
  static bool flag(const base::JsonObject& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_bool() && value->get_bool();
  }

  // Equal schemas are one.
  absl::StatusOr<ExprId> schema_of(const base::JsonValue& schema) {
    const std::string text = base::to_text(schema);
    if (const auto known = schemas_.find(text); known != schemas_.end()) return known->second;
    ASSIGN_OR_RETURN(const ExprId made, SchemaBuilder(pool_, json_, schema, limits_).build());
    schemas_[text] = made;
    return made;
  }
  absl::StatusOr<ExprId> nested(Language language, std::string source) {
    const Spec spec{language, std::move(source)};
    return language == Language::kRegex ? read_regex(spec, limits_, pool_) : read_ebnf(spec, limits_, pool_);
  }

  absl::StatusOr<ExprId> triggered(const Tags& tags, const std::vector<std::string>& triggers, bool needed,
                                   bool only_one) {
    std::vector<ExprId> parts;
    std::vector<bool> used(tags.size());
    for (const std::string& trigger : triggers) {
      std::vector<ExprId> behind;
      for (size_t i = 0; i < tags.size(); ++i) {
        if (!tags[i].begin.starts_with(trigger)) continue;
        used[i] = true;
        behind.push_back(pool_.concat(free_.written(tags[i].begin.substr(trigger.size())), tags[i].rest));
      }
      if (behind.empty()) return wrong("a trigger begins no tag");
      parts.push_back(pool_.concat(free_.up_to(triggers, trigger), pool_.alt(std::move(behind))));
    }
    for (const bool one : used) {
      if (!one) return wrong("a tag begins with no trigger");
    }
    const ExprId tag = pool_.alt(std::move(parts)), rest = free_.without(triggers);
    if (only_one) return needed ? tag : pool_.alt({rest, tag});
    const int rule = pool_.new_rule();
    pool_.set_rule(rule, pool_.alt({rest, pool_.concat(tag, pool_.rule(rule))}));
    return needed ? pool_.concat(tag, pool_.rule(rule)) : pool_.rule(rule);
  }

  absl::StatusOr<Tag> tag_of(const base::JsonObject& object) {
    Tag tag;
    ASSIGN_OR_RETURN(tag.begin, text(object, "begin"));
    ASSIGN_OR_RETURN(const std::string end, text(object, "end"));
    const auto* content = object.if_contains("content");
    if (content == nullptr || !content->is_object()) return wrong("a tag has no content");
    const auto* type = content->get_object().if_contains("type");
    const bool any = type != nullptr && type->is_string() && type->get_string() == "any_text";
    if (any && !end.empty()) {
      tag.rest = free_.up_to({end}, end);
    } else {
      ASSIGN_OR_RETURN(const ExprId inside, format_of(*content));
      tag.rest = pool_.concat(inside, free_.written(end));
    }
    return tag;
  }

  absl::StatusOr<Tags> tags_of(const base::JsonObject& object) {
    ASSIGN_OR_RETURN(const base::JsonArray* list, array(object, "tags"));
    Tags tags;
    for (const base::JsonValue& one : *list) {
      if (!one.is_object()) return wrong("tags must be objects");
      ASSIGN_OR_RETURN(Tag tag, tag_of(one.get_object()));
      tags.push_back(std::move(tag));
    }
    return tags;
  }

  absl::StatusOr<ExprId> separated(const base::JsonObject& object) {
    ASSIGN_OR_RETURN(const Tags tags, tags_of(object));
    ASSIGN_OR_RETURN(const std::string separator, text(object, "separator"));
    std::vector<ExprId> parts;
    for (const Tag& tag : tags) parts.push_back(pool_.concat(free_.written(tag.begin), tag.rest));
    const ExprId one = pool_.alt(std::move(parts));
    const int more = flag(object, "stop_after_first") ? 0 : kUnbounded;
    const ExprId all = pool_.concat(one, pool_.repeat(pool_.concat(free_.written(separator), one), 0, more));
    return flag(object, "at_least_one") ? all : pool_.optional(all);
  }

  absl::StatusOr<ExprId> elements(const base::JsonObject& object, bool in_order) {
    ASSIGN_OR_RETURN(const base::JsonArray* list, array(object, "elements"));
    std::vector<ExprId> parts;
    for (const base::JsonValue& one : *list) {
      ASSIGN_OR_RETURN(const ExprId part, format_of(one));
      parts.push_back(part);
    }
    if (!in_order) return pool_.alt(std::move(parts));
    ExprId all = kEpsilon;
    for (; !parts.empty(); parts.pop_back()) all = pool_.concat(parts.back(), all);
    return all;
  }

  absl::StatusOr<ExprId> format_of(const base::JsonValue& value) {
    if (!value.is_object()) return wrong("a format must be an object");
    const base::JsonObject& object = value.get_object();
    ASSIGN_OR_RETURN(const std::string type, text(object, "type"));
    if (type == "any_text") return free_.any();
    if (type == "sequence" || type == "or") return elements(object, type == "sequence");
    if (type == "optional" || type == "plus" || type == "star") {
      const auto* content = object.if_contains("content");
      if (content == nullptr) return wrong(absl::StrCat(type, " has no content"));
      ASSIGN_OR_RETURN(const ExprId one, format_of(*content));
      return pool_.repeat(one, type == "plus" ? 1 : 0, type == "optional" ? 1 : kUnbounded);
    }
    if (type == "tags_with_separator") return separated(object);
    if (type == "const_string") {
      ASSIGN_OR_RETURN(const std::string word, text(object, "value"));
      return free_.written(word);
    }
    if (type == "json_schema") {
      const auto* schema = object.if_contains("json_schema");
      if (schema == nullptr) return wrong("json_schema has no schema");
      return schema_of(*schema);
    }
    if (type == "regex" || type == "grammar") {
      const bool is_regex = type == "regex";
      ASSIGN_OR_RETURN(std::string source, text(object, is_regex ? "pattern" : "grammar"));
      return nested(is_regex ? Language::kRegex : Language::kEbnf, std::move(source));
    }
    if (type == "tag") {
      ASSIGN_OR_RETURN(const Tag tag, tag_of(object));
      return pool_.concat(free_.written(tag.begin), tag.rest);
    }
    if (type == "triggered_tags") {
      ASSIGN_OR_RETURN(const Tags tags, tags_of(object));
      ASSIGN_OR_RETURN(const std::vector<std::string> triggers, texts(object, "triggers"));
      return triggered(tags, triggers, flag(object, "at_least_one"), flag(object, "stop_after_first"));
    }
    return absl::UnimplementedError(
        absl::StrCat("structural tag: the format ", type.substr(0, 64), " is not supported"));
  }

  ExprPool& pool_;
  JsonText& json_;
  const GrammarLimits& limits_;
  FreeText free_;
  std::map<std::string, ExprId> schemas_;
};

}  // namespace

absl::StatusOr<ExprId> read_structural_tag(const Spec& spec, const GrammarLimits& limits, ExprPool& pool) {
  const base::JsonLimits bounds{.depth_max = static_cast<size_t>(limits.depth_max),
                                .bytes_max = limits.source_bytes_max};
  ASSIGN_OR_RETURN(const base::JsonValue document, base::parse_json(spec.source, bounds));
  ASSIGN_OR_RETURN(JsonText json, JsonText::make(pool, spec.whitespace, limits));
  return TagReader(pool, json, spec, limits).read(document);
}

}  // namespace polymath::text::grammar
