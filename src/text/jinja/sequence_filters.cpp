// Filters over lists and dicts that look at the elements' places, not at what they hold; from_json.

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/getter.h"
#include "text/jinja/json_value.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

Value count(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "length", {});
  return integer(static_cast<int64_t>(length(context.budget(), v)));
}

Value join(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "join", {"d", "attribute"});
  const std::string_view separator = to_str(budget, p.at(0, string({})));
  const AttributePath path(budget, p.at(1));
  Builder out(budget);
  bool first = true;
  for (const Value& item : elements(budget, v)->items) {
    budget.step();
    if (!first) out.append(separator);
    first = false;
    append_str(out, path.get(budget, item));
  }
  return string(out.finish());
}

Value first(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "first", {});
  Budget& budget = context.budget();
  if (v.is(Kind::kString) && v.size > 0) return string(v.text().substr(0, decode_utf8(v.text()).bytes));
  const Values& items = elements(budget, v)->items;
  if (items.empty()) return undefined(budget, {.name = "first", .sentence = "No first item, sequence was empty."});
  return items.front();
}

Value last(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "last", {});
  Budget& budget = context.budget();
  const Values& items = elements(budget, v)->items;
  if (items.empty()) return undefined(budget, {.name = "last", .sentence = "No last item, sequence was empty."});
  return items.back();
}

Value list(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "list", {});
  if (v.is(Kind::kList) && v.list->kind == ListKind::kList) return v;
  const List* source = elements(context.budget(), v);
  List* copy = new_list(context.budget());
  context.budget().step(source->items.size() / 4);
  copy->items = source->items;
  return list_value(copy);
}

Value reverse(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "reverse", {});
  List* reversed = new_list(budget, ListKind::kGenerator);
  const Values& items = elements(budget, v)->items;
  budget.step(items.size() / 4);
  reversed->items.assign(items.rbegin(), items.rend());
  if (!v.is(Kind::kString)) return list_value(reversed);
  Builder out(budget);
  for (const Value& character : reversed->items) out.append(character.text());
  return string(out.finish());
}

List* pairs_of(Budget& budget, const Dict& dict, ListKind kind) {
  List* pairs = new_list(budget, kind);
  budget.step(dict.entries.size());
  for (const auto& [key, value] : dict.entries) {
    List* pair = new_list(budget, ListKind::kTuple);
    pair->items = {key, value};
    pairs->items.push_back(list_value(pair));
  }
  return pairs;
}

Value items(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "items", {});
  if (v.is(Kind::kUndefined)) return list_value(new_list(context.budget(), ListKind::kGenerator));
  if (!v.is(Kind::kDict)) fail("Can only get item pairs from a mapping.");
  return list_value(pairs_of(context.budget(), *v.dict, ListKind::kGenerator));
}

Value batch(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "batch", {"linecount", "fill_with"}, 1);
  const int64_t size = p.integer(0, 1);
  if (size < 1) fail("batch() needs a positive count");
  List* batches = new_list(budget, ListKind::kGenerator);
  List* now = nullptr;
  for (const Value& item : elements(budget, v)->items) {
    budget.step();
    if (now == nullptr || static_cast<int64_t>(now->items.size()) == size) {
      now = new_list(budget);
      batches->items.push_back(list_value(now));
    }
    now->items.push_back(item);
  }
  if (now != nullptr && !p.is_none(1)) {
    const size_t lacking = static_cast<size_t>(size) - now->items.size();
    budget.expect_room(lacking);
    budget.step(lacking);
    now->items.insert(now->items.end(), lacking, p.at(1));
  }
  return list_value(batches);
}

Value slice(Context& context, const Value& v, const Arguments& arguments) {
  Budget& budget = context.budget();
  const Parameters p(budget, arguments, "slice", {"slices", "fill_with"}, 1);
  if (p.integer(0, 1) < 1) fail("slice() needs a positive count");
  const auto slices = static_cast<size_t>(p.integer(0, 1));
  const Values& all = elements(budget, v)->items;
  const size_t each = all.size() / slices, longer = all.size() % slices;
  List* columns = new_list(budget, ListKind::kGenerator);
  auto next = all.begin();
  for (size_t i = 0; i < slices; ++i) {
    List* column = new_list(budget);
    const size_t taken = each + (i < longer ? 1 : 0);
    budget.step(1 + taken / 4);
    column->items.assign(next, next + static_cast<ptrdiff_t>(taken));
    next += static_cast<ptrdiff_t>(taken);
    if (!p.is_none(1) && i >= longer) column->items.push_back(p.at(1));
    columns->items.push_back(list_value(column));
  }
  return list_value(columns);
}

Value default_value(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "default", {"default_value", "boolean"});
  const bool replaces = v.is(Kind::kUndefined) || (p.flag(1, false) && !truth(v));
  return replaces ? p.at(0, string({})) : v;
}

Value attribute(Context& context, const Value& v, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "attr", {"name"}, 1);
  const std::string_view name = p.text(0, "");
  if (v.is(Kind::kDict) && !has_method(v, name)) {
    return undefined(context.budget(), {.name = name, .owner = "dict object"});
  }
  return get_attribute(context.budget(), v, name);
}

constexpr std::pair<std::string_view, Filter> kFilters[] = {
    {"length", count},
    {"count", count},
    {"join", join},
    {"first", first},
    {"last", last},
    {"list", list},
    {"reverse", reverse},
    {"items", items},
    {"batch", batch},
    {"slice", slice},
    {"default", default_value},
    {"d", default_value},
    {"attr", attribute},
    {"from_json", from_json},
};

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  for (const auto& [known, filter] : kFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

List* dict_items(Budget& budget, const Dict& dict) { return pairs_of(budget, dict, ListKind::kItems); }

}  // namespace polymath::text::jinja
