// The part of ExpressionParser that reads what follows a value: .x [y] (z) |f and `is t`.

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/expression_parser.h"

namespace polymath::text::jinja {

const Expression* ExpressionParser::chain(const Expression* base, bool with_filters) {
  std::vector<const Expression*> parts = {base};
  bool filtered = false;  // after a filter or a test only calls, filters and tests may follow
  while (true) {
    if (!filtered && tokens_.is_operator(".")) {
      parts.push_back(attribute());
    } else if (!filtered && tokens_.is_operator("[")) {
      parts.push_back(subscript());
    } else if (tokens_.is_operator("(")) {
      Expression* call = make(ExpressionType::kCall);
      arguments(*call);
      parts.push_back(call);
    } else if (with_filters && tokens_.skip_operator("|")) {
      filtered = true;
      parts.push_back(filter());
    } else if (with_filters && tokens_.skip_name("is")) {
      filtered = true;
      const bool negated = tokens_.skip_name("not");
      parts.push_back(test());
      if (negated) parts.push_back(make(ExpressionType::kNot));
    } else {
      break;
    }
  }
  if (parts.size() == 1) return base;
  Expression* node = make(ExpressionType::kChain);
  if (base != nullptr) node->line = base->line;
  node->children = tokens_.keep(parts);
  return node;
}

const Expression* ExpressionParser::filters() {
  std::vector<const Expression*> parts = {nullptr, filter()};
  while (tokens_.skip_operator("|")) parts.push_back(filter());
  Expression* node = make(ExpressionType::kChain);
  node->children = tokens_.keep(parts);
  return node;
}

const Expression* ExpressionParser::attribute() {
  Expression* node = make(ExpressionType::kAttribute);
  tokens_.next();
  if (!tokens_.is(TokenType::kInteger)) {
    node->name = tokens_.expect_name();
    return node;
  }
  node->type = ExpressionType::kItem;
  node->children = tokens_.keep<const Expression*>({constant()});
  return node;
}

const Expression* ExpressionParser::slice_part(char following) {
  const bool absent =
      tokens_.is_operator("]") || tokens_.is_operator(",") || (following == ':' && tokens_.is_operator(":"));
  return absent ? nullptr : expression();
}

const Expression* ExpressionParser::subscript() {
  Expression* node = make(ExpressionType::kItem);
  tokens_.next();
  if (tokens_.is_operator("]")) fail("a subscript is empty");
  const Expression* first = slice_part(':');
  if (tokens_.skip_operator(":")) {
    node->type = ExpressionType::kSlice;
    const Expression* stop = slice_part(':');
    const Expression* step = tokens_.skip_operator(":") ? slice_part(']') : nullptr;
    node->children = tokens_.keep<const Expression*>({first, stop, step});
  } else {
    if (first == nullptr) tokens_.unexpected("an expression");
    std::vector<const Expression*> parts = {first};
    while (tokens_.skip_operator(",")) parts.push_back(expression());
    if (parts.size() > 1) {
      Expression* several = make(ExpressionType::kTuple);
      several->children = tokens_.keep(parts);
      parts = {several};
    }
    node->children = tokens_.keep(parts);
  }
  tokens_.expect_operator("]");
  return node;
}

const Expression* ExpressionParser::filter() {
  Expression* node = make(ExpressionType::kFilter);
  node->name = tokens_.expect_name();
  if (tokens_.is_operator("(")) arguments(*node);
  return node;
}

const Expression* ExpressionParser::test() {
  Expression* node = make(ExpressionType::kTest);
  node->name = tokens_.expect_name();
  if (tokens_.is_operator("(")) {
    arguments(*node);
  } else if (const Expression* argument = test_argument()) {
    node->children = tokens_.keep<const Expression*>({argument});
  }
  return node;
}

// `x is divisibleby 3`: an argument without brackets; null: there is none.
const Expression* ExpressionParser::test_argument() {
  const bool begins = tokens_.is(TokenType::kName) || tokens_.is(TokenType::kString) ||
                      tokens_.is(TokenType::kInteger) || tokens_.is(TokenType::kFloat) || tokens_.is_operator("[") ||
                      tokens_.is_operator("{");
  if (!begins || tokens_.is_name("else") || tokens_.is_name("or") || tokens_.is_name("and")) return nullptr;
  if (tokens_.is_name("is")) fail("a test cannot follow a test");
  TokenStream::Level level(tokens_);
  return chain(primary(), false);
}

void ExpressionParser::arguments(Expression& call) {
  TokenStream::Level level(tokens_);
  tokens_.expect_operator("(");
  std::vector<const Expression*> positional;
  std::vector<NamedExpression> named;
  while (!tokens_.is_operator(")")) {
    if (!positional.empty() || !named.empty()) tokens_.expect_operator(",");
    if (tokens_.is_operator(")")) break;
    argument(call, positional, named);
  }
  tokens_.next();
  call.children = tokens_.keep(positional);
  call.named = tokens_.keep(named);
}

void ExpressionParser::argument(Expression&, std::vector<const Expression*>& positional,
                                std::vector<NamedExpression>& named) {
  if (tokens_.is_operator("*") || tokens_.is_operator("**")) {
    const std::string_view stars = tokens_.next().text;
    return named.push_back({stars, expression()});
  }
  if (tokens_.is(TokenType::kName) && tokens_.ahead().type == TokenType::kOperator && tokens_.ahead().text == "=") {
    const std::string_view key = tokens_.next().text;
    tokens_.next();
    return named.push_back({key, expression()});
  }
  if (!named.empty()) fail("a positional argument follows a named one");
  positional.push_back(expression());
}

}  // namespace polymath::text::jinja
