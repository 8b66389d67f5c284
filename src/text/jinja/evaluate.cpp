// Expressions.

#include "absl/strings/str_cat.h"
#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"

namespace polymath::text::jinja {

Value Interpreter::evaluate(const Expression& e) {
  budget_.step();
  if (e.type == ExpressionType::kConstant) return e.value;
  budget_.line = e.line;
  if (e.type == ExpressionType::kName) return lookup(e.name);
  Level level(*this);
  return evaluate_node(e);
}

Value Interpreter::evaluate_node(const Expression& e) {
  switch (e.type) {
    case ExpressionType::kTuple:
    case ExpressionType::kList:
      return evaluate_list(e);
    case ExpressionType::kDict:
      return evaluate_dict(e);
    case ExpressionType::kConditional:
      return evaluate_conditional(e);
    case ExpressionType::kAnd:
    case ExpressionType::kOr: {
      Value value;
      for (const Expression* part : e.children) {
        value = evaluate(*part);
        if (truth(value) == (e.type == ExpressionType::kOr)) break;
      }
      return value;
    }
    case ExpressionType::kNot:
      return boolean(!truth(evaluate(*e.children[0])));
    case ExpressionType::kNegate:
      return negate(evaluate(*e.children[0]));
    case ExpressionType::kPlus:
      return negate(negate(evaluate(*e.children[0])));
    case ExpressionType::kCompare:
      return evaluate_compare(e);
    case ExpressionType::kBinary:
      return evaluate_binary(e);
    case ExpressionType::kConcat:
      return evaluate_concat(e);
    case ExpressionType::kChain:
      return evaluate_chain(e, evaluate(*e.children[0]));
    default:
      fail("an operation has no value");  // the parser makes none
  }
}

Value Interpreter::evaluate_conditional(const Expression& e) {
  if (truth(evaluate(*e.children[1]))) return evaluate(*e.children[0]);
  if (e.children[2] != nullptr) return evaluate(*e.children[2]);
  return undefined(budget_, {.name = "if", .sentence = "the inline if-expression evaluated to false and has no else"});
}

Value Interpreter::evaluate_compare(const Expression& e) {
  Value left = evaluate(*e.children[0]);
  for (size_t i = 0; i < e.name.size(); ++i) {
    const Value right = evaluate(*e.children[i + 1]);
    if (!apply_comparison(budget_, e.name[i], left, right)) return boolean(false);
    left = right;
  }
  return boolean(true);
}

Value Interpreter::evaluate_binary(const Expression& e) {
  Value left = evaluate(*e.children[0]);
  for (size_t i = 0; i < e.name.size(); ++i) {
    const Value right = evaluate(*e.children[i + 1]);
    budget_.line = e.line;
    left = apply_binary(budget_, e.name[i], left, right);
  }
  return left;
}

Value Interpreter::evaluate_concat(const Expression& e) {
  std::string_view text;
  for (const Expression* part : e.children) text = budget_.concat(text, to_str(budget_, evaluate(*part)));
  return string(text);
}

Value Interpreter::evaluate_list(const Expression& e) {
  List* list = new_list(budget_, e.type == ExpressionType::kTuple ? ListKind::kTuple : ListKind::kList);
  list->items.reserve(e.children.size());
  for (const Expression* part : e.children) list->items.push_back(evaluate(*part));
  return list_value(list);
}

Value Interpreter::evaluate_dict(const Expression& e) {
  Dict* dict = new_dict(budget_);
  dict->entries.reserve(e.children.size() / 2);
  for (size_t i = 0; i < e.children.size(); i += 2) {
    const Value key = evaluate(*e.children[i]);
    insert(budget_, *dict, key, evaluate(*e.children[i + 1]));
  }
  return dict_value(dict);
}

Value Interpreter::evaluate_chain(const Expression& e, Value value, const Value* caller) {
  for (size_t i = 1; i < e.children.size(); ++i) {
    const bool is_last = i + 1 == e.children.size();
    value = evaluate_operation(*e.children[i], value, is_last ? caller : nullptr);
  }
  return value;
}

Value Interpreter::evaluate_operation(const Expression& operation, const Value& value, const Value* caller) {
  budget_.step();
  budget_.line = operation.line;
  switch (operation.type) {
    case ExpressionType::kAttribute:
      return get_attribute(budget_, value, operation.name);
    case ExpressionType::kItem: {
      const Value key = evaluate(*operation.children[0]);
      return get_item(budget_, value, key);
    }
    case ExpressionType::kSlice:
      return evaluate_slice(operation, value);
    case ExpressionType::kNot:
      return boolean(!truth(value));
    default:
      break;
  }
  Arguments arguments(budget_);
  evaluate_arguments(operation, arguments);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  budget_.line = operation.line;
  if (operation.type == ExpressionType::kCall) return call(value, arguments);
  if (operation.type == ExpressionType::kFilter) return apply_filter(*this, operation.name, value, arguments);
  return boolean(apply_test(*this, operation.name, value, arguments));
}

Value Interpreter::evaluate_slice(const Expression& operation, const Value& value) {
  Value bounds[3];
  for (int i = 0; i < 3; ++i) {
    if (operation.children[i] == nullptr) continue;
    bounds[i] = evaluate(*operation.children[i]);
    expect_defined(bounds[i]);
  }
  return get_slice(budget_, value, bounds);
}

void Interpreter::evaluate_arguments(const Expression& call, Arguments& arguments) {
  for (const Expression* argument : call.children) arguments.positional.push_back(evaluate(*argument));
  for (const NamedExpression& argument : call.named) {
    if (argument.name[0] == '*') {
      spread(argument, arguments);
    } else {
      arguments.named.emplace_back(argument.name, evaluate(*argument.value));
    }
  }
}

void Interpreter::spread(const NamedExpression& stars, Arguments& arguments) {
  const Value value = evaluate(*stars.value);
  if (stars.name == "*") {
    const Values& items = elements(budget_, value)->items;
    budget_.step(items.size());
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
    return;
  }
  if (!value.is(Kind::kDict)) fail(absl::StrCat("what follows ** must be a dict, not ", std::string(type_name(value))));
  budget_.step(value.dict->entries.size());
  for (const auto& [key, item] : value.dict->entries) {
    arguments.named.emplace_back(expect_text(key, "a keyword"), item);
  }
}

}  // namespace polymath::text::jinja
