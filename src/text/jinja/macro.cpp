// Macros, call blocks' callers, and what else can be called.

#include "absl/strings/str_cat.h"
#include "text/jinja/interpreter.h"

namespace polymath::text::jinja {
namespace {

// The named argument of that name; npos: there is none.
size_t named_index(const Arguments& arguments, std::string_view name) {
  for (size_t i = 0; i < arguments.named.size(); ++i) {
    if (arguments.named[i].first == name) return i;
  }
  return std::string_view::npos;
}

}  // namespace

std::string_view macro_name(const Macro& macro) { return macro.definition->text; }

Value Interpreter::make_macro(const Statement& statement) {
  for (Scope* scope = scope_; scope != nullptr && !scope->captured; scope = scope->parent) scope->captured = true;
  Value v;
  v.kind = Kind::kMacro;
  v.macro = budget_.make<Macro>(Macro{&statement, scope_});
  return v;
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& arguments) {
  Level level(*this);
  Nested nested(*this, macro.scope);
  bind(*macro.definition, arguments);
  return string(captured(macro.definition->body));
}

void Interpreter::bind(const Statement& definition, const Arguments& arguments) {
  const auto& parameters = definition.parameters;
  budget_.step(parameters.size() * arguments.named.size() / 16);
  std::vector<bool> used(arguments.named.size(), false);
  Value caller = undefined(budget_, {.name = "caller", .sentence = "No caller defined"});
  if (const size_t i = named_index(arguments, "caller"); i != std::string_view::npos) {
    caller = arguments.named[i].second;
    used[i] = true;
  }
  set("caller", caller);
  for (size_t p = 0; p < parameters.size(); ++p) {
    const size_t i = named_index(arguments, parameters[p].name);
    if (p < arguments.positional.size()) {
      set(parameters[p].name, arguments.positional[p]);
    } else if (i != std::string_view::npos) {
      used[i] = true;
      set(parameters[p].name, arguments.named[i].second);
    } else if (parameters[p].value != nullptr) {
      set(parameters[p].name, evaluate(*parameters[p].value));
    } else {
      const std::string sentence = absl::StrCat("parameter '", std::string(parameters[p].name), "' was not provided");
      set(parameters[p].name, undefined(budget_, {.name = parameters[p].name, .sentence = budget_.copy(sentence)}));
    }
  }
  const bool takes_more = definition.uses_varargs || definition.uses_kwargs ||
                          arguments.positional.size() > parameters.size() || !arguments.named.empty();
  if (!takes_more) return;
  List* varargs = new_list(budget_, ListKind::kTuple);
  for (size_t i = parameters.size(); i < arguments.positional.size(); ++i)
    varargs->items.push_back(arguments.positional[i]);
  Dict* kwargs = new_dict(budget_);
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) insert(budget_, *kwargs, string(arguments.named[i].first), arguments.named[i].second);
  }
  const std::string name(definition.text);
  if (definition.uses_varargs) {
    set("varargs", list_value(varargs));
  } else if (!varargs->items.empty()) {
    fail(absl::StrCat("macro '", name, "' takes not more than ", parameters.size(), " argument(s)"));
  }
  if (definition.uses_kwargs) {
    set("kwargs", dict_value(kwargs));
  } else if (!kwargs->entries.empty()) {
    fail(absl::StrCat("macro '", name, "' takes no keyword argument '", std::string(kwargs->entries[0].first.text()),
                      "'"));
  }
}

Value Interpreter::call_loop_method(Loop& loop, std::string_view name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.positional.empty()) fail("no items for cycling given");
    return arguments.positional[loop.index % arguments.positional.size()];
  }
  List* now = new_list(budget_, ListKind::kTuple);
  now->items = arguments.positional;
  const Value value = list_value(now);
  if (loop.changed_before && equal(budget_, loop.changed_last, value)) return boolean(false);
  loop.changed_before = true;
  loop.changed_last = value;
  return boolean(true);
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  budget_.step();
  switch (callee.kind) {
    case Kind::kMacro:
      return call_macro(*callee.macro, arguments);
    case Kind::kGlobal:
      return callee.global->function(*this, arguments);
    case Kind::kJoiner:
      return call_joiner(*callee.joiner);
    case Kind::kLoop:
      fail("recursive loops are not supported");
    case Kind::kMethod: {
      const Value& self = callee.method->self;
      if (self.is(Kind::kLoop)) return call_loop_method(*self.loop, callee.method->name, arguments);
      return call_method(*this, *callee.method, arguments);
    }
    default:
      break;
  }
  expect_defined(callee);
  fail(absl::StrCat("'", std::string(type_name(callee)), "' object is not callable"));
}

}  // namespace polymath::text::jinja
