#pragma once

// Calling: arguments, what takes them, and the interpreter as filters, tests, methods and globals see it.

#include <initializer_list>
#include <string_view>
#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace polymath::text::jinja {

struct Arguments {
  explicit Arguments(Budget& budget) : positional(budget.objects()), named(budget.objects()) {}
  Values positional;
  std::pmr::vector<std::pair<std::string_view, Value>> named;
};

// The arguments of one call, by the callee's parameters. A null name closes the list early.
//
//   Parameters p(context.budget(), arguments, "indent", {"width", "first"});
//   const int64_t width = p.integer(0, 4);
class Parameters {
 public:
  // TemplateError: too many, unknown, or fewer than `required`. At most six names.
  Parameters(Budget& budget, const Arguments& arguments, std::string_view function,
             std::initializer_list<std::string_view> names, size_t required = 0);

  bool has(size_t i) const { return given_[i]; }
  Value at(size_t i, Value fallback = none()) const { return given_[i] ? values_[i] : fallback; }
  bool is_none(size_t i) const { return !given_[i] || values_[i].is(Kind::kNone); }
  int64_t integer(size_t i, int64_t fallback) const;
  bool flag(size_t i, bool fallback) const { return given_[i] ? truth(values_[i]) : fallback; }
  std::string_view text(size_t i, std::string_view fallback) const;

 private:
  static constexpr size_t kParametersMax = 6;  // names of one callee; more is our own fault: CHECK
  std::string_view function_;
  bool given_[kParametersMax] = {};
  Value values_[kParametersMax];
};

// What a filter, a test, a method or a global may ask of the interpreter.
class Context {
 public:
  virtual ~Context() = default;
  virtual Budget& budget() = 0;
  virtual int64_t now_unix() const = 0;
  virtual Value call(const Value& callee, const Arguments& arguments) = 0;
};

// object.name and object[key]: Jinja tries both an attribute and an item, in this order or the other.
Value get_attribute(Budget& budget, const Value& object, std::string_view name);
Value get_item(Budget& budget, const Value& object, const Value& key);
Value get_slice(Budget& budget, const Value& object, const Value (&bounds)[3]);  // kUndefined: left out

// The operators. `op` is an Operator; kEqual...kNotIn give a bool.
Value apply_binary(Budget& budget, char op, const Value& a, const Value& b);
bool apply_comparison(Budget& budget, char op, const Value& a, const Value& b);
Value negate(const Value& v);
bool contains(Budget& budget, const Value& container, const Value& item);

using Filter = Value (*)(Context&, const Value& value, const Arguments&);
using Test = bool (*)(Context&, const Value& value, const Arguments&);
using Function = Value (*)(Context&, const Arguments&);

struct Global {
  std::string_view name;
  Function function;
};

Filter find_filter(std::string_view name);  // nullptr: there is none
bool is_filter(std::string_view name);
bool is_test(std::string_view name);
Value apply_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments);
bool apply_test(Context& context, std::string_view name, const Value& value, const Arguments& arguments);
Value call_method(Context& context, const Method& method, const Arguments& arguments);
Value call_cycler(Cycler& cycler);
Value call_joiner(Joiner& joiner);

// Undefined: there is none of that name.
Value find_global(std::string_view name);

// True: Python's type has a method of that name; calling it may still be refused.
bool has_method(const Value& object, std::string_view name);
// True: the method would change its object, which the sandbox forbids.
bool is_mutating(const Value& object, std::string_view name);

// The tables of filters, a file each; nullptr: not in it.
Filter find_text_filter(std::string_view name);
Filter find_sequence_filter(std::string_view name);
Filter find_selection_filter(std::string_view name);
Filter find_number_filter(std::string_view name);
Test find_test(std::string_view name);
using MethodFunction = Value (*)(Context&, const Value& self, const Arguments&);
MethodFunction find_text_method(std::string_view name);
MethodFunction find_text_search_method(std::string_view name);

// "{} is {name}".format(...)
std::string_view format_braces(Context& context, std::string_view format, const Arguments& arguments);

std::string_view macro_name(const Macro& macro);

}  // namespace polymath::text::jinja
