// Filters that look at what the elements hold: map, select, sort, unique, groupby, sum.

#include <algorithm>
#include <array>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/getter.h"
#include "text/jinja/unicode.h"

namespace polymath::text::jinja {
namespace {

Value path_part(std::string_view text) {
  int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number =
      !text.empty() && text[0] != '-' && result.ec == std::errc() && result.ptr == text.data() + text.size();
  return is_number ? integer(number) : string(text);
}

// The arguments behind the first `count`.
Arguments behind(Budget& budget, const Arguments& arguments, size_t count) {
  Arguments rest(budget);
  rest.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(count), arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

// What map and select give for an input that is false: none, undefined and 0 too have no elements then.
Value no_items(Budget& budget) { return list_value(new_list(budget, ListKind::kGenerator)); }

Value map_attribute(Budget& budget, const Value& v, const Arguments& arguments) {
  const Parameters p(budget, arguments, "map", {"attribute", "default"});
  const AttributePath path(budget, p.at(0));
  List* result = new_list(budget, ListKind::kGenerator);
  for (const Value& item : elements(budget, v)->items) result->items.push_back(path.get(budget, item, p.at(1)));
  return list_value(result);
}

Value map(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  if (!truth(v)) return no_items(budget);
  if (arguments.positional.empty()) {
    if (arguments.named.empty()) fail("map requires a filter argument");
    return map_attribute(budget, v, arguments);
  }
  const std::string_view name = expect_text(arguments.positional[0], "map's filter");
  if (name == "map") fail("map('map') is not supported");  // so that the depth of calls stays bounded
  const Arguments rest = behind(budget, arguments, 1);
  List* result = new_list(budget, ListKind::kGenerator);
  for (const Value& item : elements(budget, v)->items) {
    result->items.push_back(apply_filter(context, name, item, rest));
  }
  return list_value(result);
}

template <bool wanted, bool by_attribute>
Value select(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  if (!truth(v)) return no_items(budget);
  const size_t skip = by_attribute ? 1 : 0;
  if (arguments.positional.size() < skip) fail("Missing parameter for attribute name");
  const AttributePath path(budget, by_attribute ? arguments.positional[0] : none());
  const bool has_test = arguments.positional.size() > skip;
  const Arguments rest = behind(budget, arguments, skip + (has_test ? 1 : 0));
  const std::string_view name = has_test ? expect_text(arguments.positional[skip], "the test") : "";
  List* result = new_list(budget, ListKind::kGenerator);
  for (const Value& item : elements(budget, v)->items) {
    budget.step();
    const Value looked_at = path.get(budget, item);
    const bool holds = has_test ? apply_test(context, name, looked_at, rest) : truth(looked_at);
    if (holds == wanted) result->items.push_back(item);
  }
  return list_value(result);
}

// Text in small letters, unless case counts: what sort, unique, min, max and groupby compare.
Value folded(Budget& budget, const Value& v, bool case_sensitive) {
  if (case_sensitive || !v.is(Kind::kString)) return v;
  budget.walk(v.size);
  return string(budget.copy(to_lower(v.text())));
}

struct Keyed {
  Value key;
  Value item;
};

std::vector<Keyed> keyed(Budget& budget, const Value& v, const Value& attribute, bool case_sensitive) {
  std::vector<Keyed> result;
  const AttributePath path(budget, attribute);
  const Values& items = elements(budget, v)->items;
  budget.expect_room(items.size() * sizeof(Keyed));
  for (const Value& item : items) result.push_back({folded(budget, path.get(budget, item), case_sensitive), item});
  return result;
}

void sort_keyed(Budget& budget, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(budget, b.key, a.key) : less(budget, a.key, b.key);
  });
}

Value list_of(Budget& budget, const std::vector<Keyed>& items, ListKind kind) {
  List* result = new_list(budget, kind);
  for (const Keyed& entry : items) result->items.push_back(entry.item);
  return list_value(result);
}

Value sort(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "sort", {"reverse", "case_sensitive", "attribute"});
  std::vector<Keyed> items = keyed(budget, v, none(), true);
  const Value attribute = p.at(2);
  std::string_view rest = attribute.is(Kind::kString) ? attribute.text() : "";
  const AttributePath whole(budget, attribute);
  for (Keyed& entry : items) {  // "a,b": by a, then by b
    List* keys = new_list(budget);
    for (std::string_view names = rest; !names.empty();) {
      const std::string_view name = names.substr(0, names.find(','));
      keys->items.push_back(
          folded(budget, AttributePath(budget, string(name)).get(budget, entry.item), p.flag(1, false)));
      names.remove_prefix(std::min(names.size(), name.size() + 1));
    }
    if (keys->items.empty()) keys->items.push_back(folded(budget, whole.get(budget, entry.item), p.flag(1, false)));
    entry.key = list_value(keys);
  }
  sort_keyed(budget, items, p.flag(0, false));
  return list_of(budget, items, ListKind::kList);
}

Value unique(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "unique", {"case_sensitive", "attribute"});
  std::vector<Keyed> kept;
  for (const Keyed& entry : keyed(budget, v, p.at(1), p.flag(0, false))) {
    const bool known =
        std::any_of(kept.begin(), kept.end(), [&](const Keyed& k) { return equal(budget, k.key, entry.key); });
    if (!known) kept.push_back(entry);
  }
  return list_of(budget, kept, ListKind::kGenerator);
}

template <bool largest>
Value extreme(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, largest ? "max" : "min", {"case_sensitive", "attribute"});
  const std::vector<Keyed> items = keyed(budget, v, p.at(1), p.flag(0, false));
  if (items.empty()) return undefined(budget, {.name = "min", .sentence = "No aggregated item, sequence was empty."});
  const Keyed* best = &items[0];
  for (const Keyed& entry : items) {
    if (largest ? less(budget, best->key, entry.key) : less(budget, entry.key, best->key)) best = &entry;
  }
  return best->item;
}

Value group_by(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "groupby", {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(budget, p.at(0));
  std::vector<Keyed> items = keyed(budget, v, none(), true);
  for (Keyed& entry : items) {
    entry.key = folded(budget, path.get(budget, entry.item, p.at(1)), p.flag(2, false));
  }
  sort_keyed(budget, items, false);
  List* groups = new_list(budget);
  List* now = nullptr;
  Value before;
  for (const Keyed& entry : items) {
    if (now == nullptr || !equal(budget, before, entry.key)) {
      now = new_list(budget);
      before = entry.key;
      List* group = new_list(budget, ListKind::kGroup);
      // Small letters only group; what is shown is the first one's own.
      group->items = {path.get(budget, entry.item, p.at(1)), list_value(now)};
      groups->items.push_back(list_value(group));
    }
    now->items.push_back(entry.item);
  }
  return list_value(groups);
}

Value dict_sort(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "dictsort", {"case_sensitive", "by", "reverse"});
  const std::string_view by = p.text(1, "key");
  if (by != "key" && by != "value") fail("dictsort() sorts by 'key' or 'value'");
  expect_defined(v);
  if (!v.is(Kind::kDict)) fail(absl::StrCat("dictsort() takes a dict, not ", std::string(type_name(v))));
  std::vector<Keyed> items =
      keyed(budget, list_value(dict_items(budget, *v.dict)), integer(by == "key" ? 0 : 1), p.flag(0, false));
  sort_keyed(budget, items, p.flag(2, false));
  return list_of(budget, items, ListKind::kList);
}

Value sum(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "sum", {"attribute", "start"});
  const AttributePath path(budget, p.at(0));
  Value total = p.at(1, integer(0));
  if (total.is(Kind::kString)) fail("sum() can't sum strings");
  for (const Value& item : elements(budget, v)->items) {
    total = apply_binary(budget, kAdd, total, path.get(budget, item));
  }
  return total;
}

constexpr std::pair<std::string_view, Filter> kFilters[] = {
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"sort", sort},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"groupby", group_by},
    {"dictsort", dict_sort},
    {"sum", sum},
};

}  // namespace

AttributePath::AttributePath(Budget& budget, const Value& attribute) : parts_(new_list(budget)) {
  if (attribute.is(Kind::kNone)) return;
  if (!attribute.is(Kind::kString)) {
    parts_->items.push_back(attribute);
    return;
  }
  std::string_view rest = attribute.text();
  budget.scan(rest.size());
  while (true) {
    const size_t dot = rest.find('.');
    parts_->items.push_back(path_part(rest.substr(0, dot)));
    if (dot == rest.npos) break;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::get(Budget& budget, Value item, const Value& fallback) const {
  for (const Value& part : parts_->items) {
    item = get_item(budget, item, part);
    if (item.is(Kind::kUndefined) && !fallback.is(Kind::kNone)) item = fallback;
  }
  return item;
}

Filter find_selection_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

}  // namespace polymath::text::jinja
