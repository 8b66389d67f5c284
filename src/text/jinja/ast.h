#pragma once

// The tree of a parsed template. Nodes belong to the Program's arena and never change.
//
// Chains are flat: a + b + c is one node, and so is x.y[0]|f(1). The tree is as deep as the author nested, which the
// parser bounds.

#include <cstdint>
#include <span>
#include <string_view>

#include "text/jinja/value.h"

namespace polymath::text::jinja {

struct Expression;

struct NamedExpression {
  std::string_view name;  // "*" and "**": a list or dict to be spread
  const Expression* value = nullptr;
};

enum class ExpressionType : uint8_t {
  kConstant,     // value
  kName,         // name
  kTuple,        // children
  kList,         // children
  kDict,         // children: key, value, key, value
  kConditional,  // children: if true, condition, otherwise (null: undefined)
  kAnd,          // children, the first that is false
  kOr,           // children, the first that is true
  kNot,
  kNegate,
  kPlus,
  kCompare,          // children; name: an operator a letter, see Operator
  kBinary,           // the same, from left to right
  kConcat,           // children: a ~ b ~ c
  kChain,            // children: the base (null: given by the statement), then the operations below
  kAttribute,        // operation: .name
  kItem,             // operation: [children[0]]
  kSlice,            // operation: [children[0] : children[1] : children[2]], each may be null
  kCall,             // operation: (children, named)
  kFilter,           // operation: | name(children, named)
  kTest,             // operation: is name(children, named)
  kNamespaceTarget,  // name.attribute on the left of set; name, value: the attribute
};

enum Operator : char {
  kAdd = '+',
  kSubtract = '-',
  kMultiply = '*',
  kDivide = '/',
  kFloorDivide = 'f',
  kModulo = '%',
  kPower = 'p',
  kEqual = '=',
  kNotEqual = '!',
  kLess = '<',
  kLessEqual = 'l',
  kGreater = '>',
  kGreaterEqual = 'g',
  kIn = 'i',
  kNotIn = 'n',
};

struct Expression {
  ExpressionType type = ExpressionType::kConstant;
  int line = 0;
  std::string_view name;
  Value value;
  std::span<const Expression* const> children;
  std::span<const NamedExpression> named;
};

struct Statement;
using Body = std::span<const Statement* const>;

struct Branch {
  const Expression* condition = nullptr;  // null: else
  Body body;
};

enum class StatementType : uint8_t {
  kText,         // text
  kOutput,       // value
  kIf,           // branches, the first that holds
  kFor,          // target in value if condition; body, otherwise
  kSet,          // target = value
  kSetBlock,     // target = body | value (a chain without base, or null)
  kMacro,        // text(parameters); body
  kCallBlock,    // value (a call) with caller(parameters) = body
  kFilterBlock,  // value: a chain without base; body
  kWith,         // parameters: names and their values; body
  kGeneration,   // body, in a scope of its own; the assistant wrote it
  kBreak,
  kContinue,
};

struct Statement {
  StatementType type = StatementType::kText;
  bool uses_varargs = false;  // a macro that asks for what its parameters do not take
  bool uses_kwargs = false;
  bool uses_loop = false;  // a for whose text names `loop`
  int line = 0;
  std::string_view text;
  const Expression* target = nullptr;
  const Expression* value = nullptr;
  const Expression* condition = nullptr;
  std::span<const Branch> branches;
  std::span<const NamedExpression> parameters;  // value null: no default
  Body body;
  Body otherwise;
};

}  // namespace polymath::text::jinja
