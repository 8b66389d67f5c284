#pragma once

// The expressions of the grammar.

#include <vector>

#include "text/jinja/token_stream.h"

namespace polymath::text::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  const Expression* expression();                          // with `x if y else z`
  const Expression* tuple(bool with_conditional = true);   // expression, or several with commas
  const Expression* target(bool allow_namespace = false);  // a name, or several with commas, brackets allowed
  const Expression* filters();                             // `name(...) | name`: a chain without base, from the name
  std::vector<NamedExpression> parameters();               // (a, b=1)

  size_t varargs_seen = 0;  // how often the names were read; a macro asks for them by using them
  size_t kwargs_seen = 0;
  size_t loop_seen = 0;

 private:
  using Part = const Expression* (ExpressionParser::*)();

  const Expression* either();
  const Expression* both();
  const Expression* negation();
  const Expression* comparison();
  const Expression* sum();
  const Expression* concatenation();
  const Expression* product();
  const Expression* power();
  const Expression* signed_value() { return unary(true); }
  const Expression* unary(bool with_filters);
  const Expression* primary();
  const Expression* constant();
  const Expression* name();
  const Expression* parenthesised();
  const Expression* list();
  const Expression* dict();
  const Expression* target_part(bool allow_namespace);

  // primary() with what follows: .x [y] (z), and if `with_filters` |f and `is t`.
  const Expression* chain(const Expression* base, bool with_filters);
  const Expression* attribute();
  const Expression* subscript();
  const Expression* filter();
  const Expression* test();
  const Expression* test_argument();
  const Expression* slice_part(char following);
  void arguments(Expression& call);
  void argument(Expression& call, std::vector<const Expression*>& positional, std::vector<NamedExpression>& named);

  // part (op part)*: one flat node.
  const Expression* joined(ExpressionType type, Part part, std::string_view word);
  const Expression* operation(Part part, char (*read)(TokenStream&), ExpressionType type);
  Expression* make(ExpressionType type) {
    auto* node = tokens_.node<Expression>();
    node->type = type;
    return node;
  }

  TokenStream& tokens_;
};

}  // namespace polymath::text::jinja
