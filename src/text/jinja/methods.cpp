// Which methods Python's types have, and those of lists, dicts and cyclers.

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/getter.h"

namespace polymath::text::jinja {
namespace {

// All methods of Python 3, so that `x.name` finds a method where Python does. call_method() refuses some of them.
constexpr std::string_view kTextMethods[] = {
    "capitalize",   "casefold",   "center",    "count",       "encode",    "endswith",     "expandtabs",   "find",
    "format",       "format_map", "index",     "isalnum",     "isalpha",   "isascii",      "isdecimal",    "isdigit",
    "isidentifier", "islower",    "isnumeric", "isprintable", "isspace",   "istitle",      "isupper",      "join",
    "ljust",        "lower",      "lstrip",    "maketrans",   "partition", "removeprefix", "removesuffix", "replace",
    "rfind",        "rindex",     "rjust",     "rpartition",  "rsplit",    "rstrip",       "split",        "splitlines",
    "startswith",   "strip",      "swapcase",  "title",       "translate", "upper",        "zfill",
};
constexpr std::string_view kListMethods[] = {"copy", "count", "index"};
constexpr std::string_view kTupleMethods[] = {"count", "index"};
constexpr std::string_view kDictMethods[] = {"copy", "fromkeys", "get", "items", "keys", "values"};
constexpr std::string_view kCyclerMethods[] = {"next", "reset"};
constexpr std::string_view kLoopMethods[] = {"cycle", "changed"};
constexpr std::string_view kListChanges[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

template <size_t n>
bool has(const std::string_view (&names)[n], std::string_view name) {
  return std::find(names, names + n, name) != names + n;
}

Value list_method(Context& context, const List& list, std::string_view name, const Arguments& arguments) {
  Budget& budget = context.budget();
  if (name == "copy") {
    List* copy = new_list(budget);
    budget.step(list.items.size() / 4);
    copy->items = list.items;
    return list_value(copy);
  }
  const Parameters p(budget, arguments, name, {"value"}, 1);
  int64_t count = 0;
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (!equal(budget, list.items[i], p.at(0))) continue;
    if (name == "index") return integer(static_cast<int64_t>(i));
    ++count;
  }
  if (name == "index") fail("the value is not in the list");
  return integer(count);
}

Value dict_get(Budget& budget, const Dict& dict, const Arguments& arguments) {
  const Parameters p(budget, arguments, "get", {"key", "default"}, 1);
  const Value* found = find(budget, dict, p.at(0));
  return found != nullptr ? *found : p.at(1);
}

Value dict_method(Context& context, Dict& dict, std::string_view name, const Arguments& arguments) {
  Budget& budget = context.budget();
  if (name == "get") return dict_get(budget, dict, arguments);
  const Parameters p(budget, arguments, name, {});
  budget.step(dict.entries.size() / 4);
  if (name == "items") return list_value(dict_items(budget, dict));
  if (name == "copy") {
    Dict* copy = new_dict(budget);
    copy->entries = dict.entries;
    return dict_value(copy);
  }
  if (name != "keys" && name != "values")
    fail(absl::StrCat("the method dict.", std::string(name), " is not supported"));
  List* result = new_list(budget, name == "keys" ? ListKind::kKeys : ListKind::kValues);
  for (const auto& [key, value] : dict.entries) result->items.push_back(name == "keys" ? key : value);
  return list_value(result);
}

Value cycler_method(Context& context, Cycler& cycler, std::string_view name, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, name, {});
  if (name == "next") return call_cycler(cycler);
  cycler.position = 0;
  return none();
}

}  // namespace

bool has_method(const Value& object, std::string_view name) {
  switch (object.kind) {
    case Kind::kString:
      return has(kTextMethods, name);
    case Kind::kDict:
      return has(kDictMethods, name);
    case Kind::kCycler:
      return has(kCyclerMethods, name);
    case Kind::kLoop:
      return has(kLoopMethods, name);
    case Kind::kRange:
      return has(kTupleMethods, name);
    case Kind::kList:
      break;
    default:
      return false;
  }
  if (object.list->kind == ListKind::kList) return has(kListMethods, name);
  const bool is_tuple = object.list->kind == ListKind::kTuple || object.list->kind == ListKind::kGroup;
  return is_tuple && has(kTupleMethods, name);
}

bool is_mutating(const Value& object, std::string_view name) {
  if (object.is(Kind::kDict)) return has(kDictChanges, name);
  return object.is(Kind::kList) && object.list->kind == ListKind::kList && has(kListChanges, name);
}

Value call_method(Context& context, const Method& method, const Arguments& arguments) {
  const Value& self = method.self;
  switch (self.kind) {
    case Kind::kDict:
      return dict_method(context, *self.dict, method.name, arguments);
    case Kind::kCycler:
      return cycler_method(context, *self.cycler, method.name, arguments);
    case Kind::kList:
    case Kind::kRange:
      return list_method(context, *elements(context.budget(), self), method.name, arguments);
    default:
      break;
  }
  MethodFunction function = find_text_method(method.name);
  if (function == nullptr) function = find_text_search_method(method.name);
  if (function == nullptr) fail(absl::StrCat("the method str.", std::string(method.name), " is not supported"));
  return function(context, self, arguments);
}

}  // namespace polymath::text::jinja
