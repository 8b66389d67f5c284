// object.name, object[key], object[a:b:c].

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"
#include "text/jinja/loop.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

std::string_view owner_of(Budget& budget, const Value& v) {
  if (v.is(Kind::kNone)) return "None";
  if (v.is(Kind::kDict)) return "dict object";  // the usual ones: a message without that member, a content's letter
  if (v.is(Kind::kString)) return "str object";
  return budget.copy(absl::StrCat(std::string(type_name(v)), " object"));
}

Value missing_attribute(Budget& budget, const Value& object, std::string_view name) {
  return undefined(budget, {.name = name, .owner = owner_of(budget, object)});
}

Value missing_element(Budget& budget, const Value& object, const Value& key) {
  Builder name(budget);
  append_repr(name, key);
  return undefined(budget, {.name = name.finish(), .owner = owner_of(budget, object), .is_element = true});
}

Value unsafe(Budget& budget, const Value& object, std::string_view name) {
  const std::string sentence = absl::StrCat("access to attribute '", std::string(name), "' of '",
                                            std::string(type_name(object)), "' object is unsafe");
  return undefined(budget, {.name = name, .sentence = budget.copy(sentence)});
}

Value method(Budget& budget, const Value& object, std::string_view name) {
  Value v;
  v.kind = Kind::kMethod;
  v.method = budget.make<Method>(Method{object, name});
  return v;
}

// What belongs to the type itself; false: nothing of that name does.
bool find_own(Budget& budget, const Value& object, std::string_view name, Value& result) {
  if (is_mutating(object, name)) {
    result = unsafe(budget, object, name);
    return true;
  }
  if (has_method(object, name)) {
    result = method(budget, object, name);
    return true;
  }
  bool found = false;
  if (object.is(Kind::kLoop)) result = get_loop_attribute(budget, *object.loop, name, found);
  if (object.is(Kind::kMacro) && name == "name") {
    result = string(macro_name(*object.macro));
    return true;
  }
  if (object.is(Kind::kCycler) && name == "current") {
    result = object.cycler->items[object.cycler->position];
    return true;
  }
  if (object.is(Kind::kList) && object.list->kind == ListKind::kGroup && (name == "grouper" || name == "list")) {
    result = object.list->items[name == "list" ? 1 : 0];
    return true;
  }
  return found;
}

bool is_subscriptable(const Value& v) {
  return v.is(Kind::kRange) || v.is(Kind::kString) ||
         (v.is(Kind::kList) &&
          (v.list->kind == ListKind::kList || v.list->kind == ListKind::kTuple || v.list->kind == ListKind::kGroup));
}

Value element_at(Budget& budget, const Value& object, size_t i) {
  if (object.is(Kind::kList)) return object.list->items[i];
  if (object.is(Kind::kRange)) return integer(object.range->at(i));
  budget.scan(object.size);
  const size_t begin = byte_offset(object.text(), i);
  return string(object.text().substr(begin, decode_utf8(object.text().substr(begin)).bytes));
}

bool find_element(Budget& budget, const Value& object, const Value& key, Value& result) {
  if (object.is(Kind::kDict)) {
    if (key.is(Kind::kDict) || (key.is(Kind::kList) && key.list->kind != ListKind::kTuple)) return false;  // unhashable
    const Value* value = find(budget, *object.dict, key);
    if (value != nullptr) result = *value;
    return value != nullptr;
  }
  if (!is_subscriptable(object) || !(key.is(Kind::kInt) || key.is(Kind::kBool))) return false;
  const auto size = static_cast<int64_t>(length(budget, object));
  int64_t i = key.is(Kind::kBool) ? (key.boolean ? 1 : 0) : key.integer;
  if (i < 0) i += size;
  if (i < 0 || i >= size) return false;
  result = element_at(budget, object, static_cast<size_t>(i));
  return true;
}

bool is_dunder(std::string_view name) { return name.size() > 4 && name.starts_with("__") && name.ends_with("__"); }

struct Slice {
  int64_t start, stop, step;
};

// Python's rules for a slice of `size` elements: bounds from the end, clipped.
Slice clip(const Value (&bounds)[3], int64_t size) {
  const auto given = [&](int i) { return !bounds[i].is(Kind::kUndefined) && !bounds[i].is(Kind::kNone); };
  const int64_t step = given(2) ? expect_integer(bounds[2], "a slice's step") : 1;
  if (step == 0) fail("slice step cannot be zero");
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto bound = [&](int i, int64_t fallback) {
    if (!given(i)) return fallback;
    const int64_t value = expect_integer(bounds[i], "a slice's bound");
    return std::clamp(value < 0 ? std::max(value, -size - 1) + size : value, low, high);
  };
  return {bound(0, step > 0 ? low : high), bound(1, step > 0 ? high : low), std::clamp(step, -size - 1, size + 1)};
}

}  // namespace

Value get_attribute(Budget& budget, const Value& object, std::string_view name) {
  expect_defined(object);
  Value result;
  if (object.is(Kind::kNamespace)) {
    const Value* value = find(budget, *object.dict, name);
    return value != nullptr ? *value : missing_attribute(budget, object, name);
  }
  if (find_own(budget, object, name, result)) return result;
  if (find_element(budget, object, string(name), result)) return result;
  return is_dunder(name) ? unsafe(budget, object, name) : missing_attribute(budget, object, name);
}

Value get_item(Budget& budget, const Value& object, const Value& key) {
  expect_defined(object);
  Value result;
  if (find_element(budget, object, key, result)) return result;
  if (!key.is(Kind::kString)) return missing_element(budget, object, key);
  return get_attribute(budget, object, key.text());
}

Value get_slice(Budget& budget, const Value& object, const Value (&bounds)[3]) {
  expect_defined(object);
  if (!is_subscriptable(object)) {
    fail(absl::StrCat("'", std::string(type_name(object)), "' object cannot be sliced"));
  }
  const Slice slice = clip(bounds, static_cast<int64_t>(length(budget, object)));
  if (object.is(Kind::kString) && slice.step == 1) {
    const std::string_view text = object.text();
    const size_t begin = byte_offset(text, static_cast<size_t>(slice.start));
    if (slice.stop <= slice.start) return string({});
    return string(text.substr(begin, byte_offset(text.substr(begin), static_cast<size_t>(slice.stop - slice.start))));
  }
  const List* source = elements(budget, object);
  List* picked = new_list(budget, object.is(Kind::kList) ? source->kind : ListKind::kList);
  if (picked->kind == ListKind::kGroup) picked->kind = ListKind::kTuple;
  if (slice.step == 1 && slice.stop > slice.start) picked->items.reserve(static_cast<size_t>(slice.stop - slice.start));
  for (int64_t i = slice.start; slice.step > 0 ? i < slice.stop : i > slice.stop; i += slice.step) {
    picked->items.push_back(source->items[static_cast<size_t>(i)]);
  }
  budget.step(picked->items.size() / 4);
  if (!object.is(Kind::kString)) return list_value(picked);
  Builder out(budget);
  for (const Value& character : picked->items) out.append(character.text());
  return string(out.finish());
}

Value get_loop_attribute(Budget& budget, Loop& loop, std::string_view name, bool& found) {
  found = true;
  if (loop.source == nullptr) fail("'loop' is used after its loop has ended");
  const auto i = static_cast<int64_t>(loop.index);
  if (name == "index") return integer(i + 1);
  if (name == "index0") return integer(i);
  if (name == "first") return boolean(i == 0);
  if (name == "last") return boolean(!loop.source->has(loop.index + 1));
  if (name == "length") return integer(static_cast<int64_t>(loop.source->count()));
  if (name == "revindex") return integer(static_cast<int64_t>(loop.source->count()) - i);
  if (name == "revindex0") return integer(static_cast<int64_t>(loop.source->count()) - i - 1);
  if (name == "depth") return integer(1);
  if (name == "depth0") return integer(0);
  if (name == "previtem") {
    if (i == 0) return undefined(budget, {.name = name, .sentence = "there is no previous item"});
    return loop.source->at(loop.index - 1);
  }
  if (name == "nextitem") {
    if (!loop.source->has(loop.index + 1))
      return undefined(budget, {.name = name, .sentence = "there is no next item"});
    return loop.source->at(loop.index + 1);
  }
  found = false;
  return {};
}

}  // namespace polymath::text::jinja
