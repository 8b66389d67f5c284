#include "text/jinja/value.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

constexpr int kDepthMax = 200;  // of a value that is compared; deeper: TemplateError

absl::string_view to_absl(std::string_view s) { return {s.data(), s.size()}; }

bool is_plain_list(const Value& v) {
  return v.is(Kind::kList) &&
         (v.list->kind == ListKind::kList || v.list->kind == ListKind::kTuple || v.list->kind == ListKind::kGroup);
}

bool is_tuple(const Value& v) { return v.list->kind != ListKind::kList; }

bool equal_lists(Budget& budget, const List& a, const List& b, int depth) {
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(budget, a.items[i], b.items[i], depth + 1)) return false;
  }
  return true;
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b, int depth) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = find(budget, b, key);
    if (other == nullptr || !equal(budget, value, *other, depth + 1)) return false;
  }
  return true;
}

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return to_double(a) == to_double(b);
  return expect_integer(a, "") == expect_integer(b, "");
}

void expect_hashable(const Value& v) {
  if (v.is(Kind::kDict) || (v.is(Kind::kList) && v.list->kind == ListKind::kList)) {
    fail(absl::StrCat("unhashable type: '", to_absl(type_name(v)), "'"));
  }
  if (v.is(Kind::kList)) {
    for (const Value& item : v.list->items) {
      if (item.is(Kind::kList) && item.list->kind != ListKind::kList) continue;  // a tuple in a tuple
      expect_hashable(item);
    }
  }
}

bool less_lists(Budget& budget, const Value& a, const Value& b, int depth) {
  const Values &x = a.list->items, &y = b.list->items;
  const size_t shared = std::min(x.size(), y.size());
  for (size_t i = 0; i < shared; ++i) {
    if (!equal(budget, x[i], y[i], depth + 1)) return less(budget, x[i], y[i], depth + 1);
  }
  return x.size() < y.size();
}

}  // namespace

Value none() {
  Value v;
  v.kind = Kind::kNone;
  return v;
}

Value boolean(bool b) {
  Value v;
  v.kind = Kind::kBool;
  v.boolean = b;
  return v;
}

Value integer(int64_t i) {
  Value v;
  v.kind = Kind::kInt;
  v.integer = i;
  return v;
}

Value number(double f) {
  Value v;
  v.kind = Kind::kFloat;
  v.number = f;
  return v;
}

Value large_integer(uint64_t u) {
  Value v = number(static_cast<double>(u));
  v.size = u;
  return v;
}

Value string(std::string_view text) {
  Value v;
  v.kind = Kind::kString;
  v.chars = text.data();
  v.size = text.size();
  return v;
}

Value list_value(const List* list) {
  Value v;
  v.kind = Kind::kList;
  v.list = list;
  return v;
}

Value dict_value(Dict* dict) {
  Value v;
  v.kind = Kind::kDict;
  v.dict = dict;
  return v;
}

Value undefined(Budget& budget, const Missing& missing) {
  const auto same = [](std::string_view a, std::string_view b) { return a.data() == b.data() && a.size() == b.size(); };
  Value v;
  for (const Missing* known : budget.recent_missing) {
    const bool found = known != nullptr && same(known->name, missing.name) && same(known->owner, missing.owner) &&
                       same(known->sentence, missing.sentence) && known->is_element == missing.is_element;
    if (found) v.missing = known;
  }
  if (v.missing != nullptr) return v;
  v.missing = budget.make<Missing>(missing);
  std::rotate(budget.recent_missing.rbegin(), budget.recent_missing.rbegin() + 1, budget.recent_missing.rend());
  budget.recent_missing.front() = v.missing;
  return v;
}

List* new_list(Budget& budget, ListKind kind) { return budget.make<List>(kind, budget.objects()); }
Dict* new_dict(Budget& budget) { return budget.make<Dict>(budget.objects()); }

std::string_view type_name(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kMethod:
      return "builtin_function_or_method";
    case Kind::kGlobal:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
    case Kind::kList:
      break;
  }
  switch (v.list->kind) {
    case ListKind::kList:
      return "list";
    case ListKind::kTuple:
      return "tuple";
    case ListKind::kGenerator:
      return "generator";
    case ListKind::kItems:
      return "dict_items";
    case ListKind::kKeys:
      return "dict_keys";
    case ListKind::kValues:
      return "dict_values";
    case ListKind::kGroup:
      return "_GroupTuple";
  }
  return "list";
}

bool truth(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return v.boolean;
    case Kind::kInt:
      return v.integer != 0;
    case Kind::kFloat:
      return v.number != 0;
    case Kind::kString:
      return v.size != 0;
    case Kind::kList:
      return v.list->kind == ListKind::kGenerator || !v.list->items.empty();
    case Kind::kDict:
      return !v.dict->entries.empty();
    case Kind::kRange:
      return v.range->length != 0;
    default:
      return true;
  }
}

bool is_number(const Value& v) { return v.is(Kind::kBool) || v.is(Kind::kInt) || v.is(Kind::kFloat); }

double to_double(const Value& v) {
  if (v.is(Kind::kFloat)) return v.number;
  return v.is(Kind::kBool) ? (v.boolean ? 1 : 0) : static_cast<double>(v.integer);
}

bool equal(Budget& budget, const Value& a, const Value& b, int depth) {
  budget.step();
  if (depth > kDepthMax) fail("values are nested too deeply to be compared");
  if (is_number(a) && is_number(b)) return equal_numbers(a, b);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.size != b.size) return false;
      budget.step(a.size / 64);
      return a.text() == b.text();
    case Kind::kList:
      if (is_plain_list(a) && is_plain_list(b) && is_tuple(a) == is_tuple(b)) {
        return equal_lists(budget, *a.list, *b.list, depth);
      }
      return a.list == b.list;
    case Kind::kDict:
      return a.dict == b.dict || equal_dicts(budget, *a.dict, *b.dict, depth);
    case Kind::kRange:
      return equal_lists(budget, *elements(budget, a), *elements(budget, b), depth);
    case Kind::kMethod:
      return a.method->name == b.method->name && equal(budget, a.method->self, b.method->self, depth + 1);
    default:
      return a.missing == b.missing;  // identity; every other member of the union is a pointer
  }
}

bool less(Budget& budget, const Value& a, const Value& b, int depth) {
  budget.step();
  if (depth > kDepthMax) fail("values are nested too deeply to be compared");
  expect_defined(a);
  expect_defined(b);
  if (is_number(a) && is_number(b)) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return to_double(a) < to_double(b);
    return expect_integer(a, "") < expect_integer(b, "");
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    budget.step(std::min(a.size, b.size) / 64);
    return a.text() < b.text();  // the order of UTF-8 is the order of code points
  }
  if (is_plain_list(a) && is_plain_list(b) && is_tuple(a) == is_tuple(b)) return less_lists(budget, a, b, depth);
  fail(absl::StrCat("'<' not supported between instances of '", to_absl(type_name(a)), "' and '", to_absl(type_name(b)),
                    "'"));
}

const Value* find(Budget& budget, const Dict& dict, std::string_view key) {
  budget.step(1 + dict.entries.size() / 16);
  for (const auto& [k, value] : dict.entries) {
    if (k.is(Kind::kString) && k.text() == key) return &value;
  }
  return nullptr;
}

const Value* find(Budget& budget, const Dict& dict, const Value& key) {
  if (key.is(Kind::kString)) {
    budget.step(key.size / 64);
    return find(budget, dict, key.text());
  }
  expect_hashable(key);
  for (const auto& [k, value] : dict.entries) {
    if (equal(budget, k, key)) return &value;
  }
  return nullptr;
}

void insert(Budget& budget, Dict& dict, const Value& key, const Value& value) {
  if (const Value* old = find(budget, dict, key)) {
    *const_cast<Value*>(old) = value;
  } else {
    dict.entries.emplace_back(key, value);
  }
}

size_t length(Budget& budget, const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      budget.scan(v.size);
      return std::count_if(v.chars, v.chars + v.size, [](char c) { return (c & 0xC0) != 0x80; });
    case Kind::kDict:
      return v.dict->entries.size();
    case Kind::kRange:
      return v.range->length;
    case Kind::kList:
      if (v.list->kind != ListKind::kGenerator) return v.list->items.size();
      break;
    default:
      break;
  }
  fail(absl::StrCat("object of type '", to_absl(type_name(v)), "' has no len()"));
}

bool is_iterable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kString) || v.is(Kind::kList) || v.is(Kind::kDict) ||
         v.is(Kind::kRange) || v.is(Kind::kLoop);
}

const List* elements(Budget& budget, const Value& v) {
  if (v.is(Kind::kList)) return v.list;
  List* list = new_list(budget);
  switch (v.kind) {
    case Kind::kUndefined:
      break;
    case Kind::kDict:
      budget.step(v.dict->entries.size());
      list->items.reserve(v.dict->entries.size());
      for (const auto& [key, value] : v.dict->entries) list->items.push_back(key);
      break;
    case Kind::kRange:
      budget.step(v.range->length);
      list->items.reserve(v.range->length);
      for (size_t i = 0; i < v.range->length; ++i) {
        list->items.push_back(integer(v.range->at(i)));
      }
      break;
    case Kind::kString:
      list->items.reserve(length(budget, v));
      budget.step(v.size / 8);
      for (std::string_view rest = v.text(); !rest.empty();) {
        const auto bytes = static_cast<size_t>(decode_utf8(rest).bytes);
        list->items.push_back(string(rest.substr(0, bytes)));
        rest.remove_prefix(bytes);
      }
      break;
    default:
      fail(absl::StrCat("'", to_absl(type_name(v)), "' object is not iterable"));
  }
  return list;
}

void expect_defined(const Value& v) {
  if (!v.is(Kind::kUndefined)) return;
  if (v.missing == nullptr) fail("the value is undefined");
  const Missing& m = *v.missing;
  if (!m.sentence.empty()) fail(std::string(m.sentence));
  if (m.owner.empty()) fail(absl::StrCat("'", to_absl(m.name), "' is undefined"));
  if (m.is_element) fail(absl::StrCat(to_absl(m.owner), " has no element ", to_absl(m.name)));
  fail(absl::StrCat("'", to_absl(m.owner), "' has no attribute '", to_absl(m.name), "'"));
}

std::string_view expect_text(const Value& v, std::string_view what) {
  expect_defined(v);
  if (!v.is(Kind::kString)) {
    fail(absl::StrCat(to_absl(what), " must be a string, not ", to_absl(type_name(v))));
  }
  return v.text();
}

int64_t expect_integer(const Value& v, std::string_view what) {
  expect_defined(v);
  if (v.is(Kind::kBool)) return v.boolean ? 1 : 0;
  if (!v.is(Kind::kInt)) {
    fail(absl::StrCat(to_absl(what), " must be an integer, not ", to_absl(type_name(v))));
  }
  return v.integer;
}

}  // namespace polymath::text::jinja
