#include "text/jinja/json_value.h"

#include "absl/strings/str_cat.h"

namespace polymath::text::jinja {
namespace {

constexpr int kDepthMax = 200;       // deeper: TemplateError
constexpr size_t kParsedBytes = 32;  // of memory that boost's tree takes for a byte of JSON, at most

Value convert(Budget& budget, const base::JsonValue& json, bool copy, int depth) {
  budget.step();
  if (depth > kDepthMax) fail("the variables are nested too deeply");
  const auto text = [&](std::string_view s) { return string(copy ? budget.copy(s) : s); };
  switch (json.kind()) {
    case boost::json::kind::null:
      return none();
    case boost::json::kind::bool_:
      return boolean(json.get_bool());
    case boost::json::kind::int64:
      return integer(json.get_int64());
    case boost::json::kind::uint64:
      return large_integer(json.get_uint64());
    case boost::json::kind::double_:
      return number(json.get_double());
    case boost::json::kind::string:
      return text({json.get_string().data(), json.get_string().size()});
    case boost::json::kind::array:
      break;
    case boost::json::kind::object: {
      Dict* dict = new_dict(budget);
      dict->entries.reserve(json.get_object().size());
      for (const auto& member : json.get_object()) {
        const std::string_view key(member.key().data(), member.key().size());
        dict->entries.emplace_back(text(key), convert(budget, member.value(), copy, depth + 1));
      }
      return dict_value(dict);
    }
  }
  List* list = new_list(budget);
  list->items.reserve(json.get_array().size());
  for (const auto& item : json.get_array()) list->items.push_back(convert(budget, item, copy, depth + 1));
  return list_value(list);
}

}  // namespace

Value json_value(Budget& budget, const base::JsonValue& json) { return convert(budget, json, /*copy=*/false, 0); }

Value from_json(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "from_json", {});
  const std::string_view text = expect_text(v, "what from_json takes");
  budget.walk(text.size());
  budget.expect_room(text.size() * kParsedBytes);
  const auto parsed = base::parse_json(text, {.depth_max = kDepthMax});
  if (!parsed.ok()) fail(absl::StrCat("from_json: ", std::string(parsed.status().message())));
  return convert(budget, *parsed, /*copy=*/true, 0);
}

}  // namespace polymath::text::jinja
