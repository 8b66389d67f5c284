#include "text/jinja/expression_parser.h"

#include <charconv>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"

namespace polymath::text::jinja {
namespace {

// Each reads one operator of its rank and passes it; 0: the token is none.
char read_comparison(TokenStream& tokens) {
  static constexpr std::pair<std::string_view, char> kWords[] = {
      {"==", kEqual}, {"!=", kNotEqual}, {"<=", kLessEqual}, {">=", kGreaterEqual}, {"<", kLess}, {">", kGreater}};
  for (const auto& [word, op] : kWords) {
    if (tokens.skip_operator(word)) return op;
  }
  if (tokens.skip_name("in")) return kIn;
  if (!tokens.is_name("not") || tokens.ahead().type != TokenType::kName || tokens.ahead().text != "in") return 0;
  tokens.next();
  tokens.next();
  return kNotIn;
}

char read_sum(TokenStream& tokens) {
  return tokens.skip_operator("+") ? kAdd : tokens.skip_operator("-") ? kSubtract : 0;
}

char read_product(TokenStream& tokens) {
  if (tokens.skip_operator("*")) return kMultiply;
  if (tokens.skip_operator("/")) return kDivide;
  if (tokens.skip_operator("//")) return kFloorDivide;
  return tokens.skip_operator("%") ? kModulo : 0;
}

char read_power(TokenStream& tokens) { return tokens.skip_operator("**") ? kPower : 0; }

std::string without_underscores(std::string_view text) {
  std::string digits;
  for (char c : text) {
    if (c != '_') digits.push_back(c);
  }
  return digits;
}

Value parse_integer(std::string_view token) {
  const std::string digits = without_underscores(token);
  int base = 10;
  size_t begin = 0;
  if (digits.size() > 2 && digits[0] == '0') {
    const char letter = digits[1] | 32;
    base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    begin = base == 10 ? 0 : 2;
  }
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data() + begin, end, value, base);
  if (result.ec != std::errc() || result.ptr != end) {
    fail(absl::StrCat("'", digits.substr(0, 40), "' is no integer of 64 bits"));
  }
  return integer(value);
}

Value parse_float(std::string_view token) { return number(std::strtod(without_underscores(token).c_str(), nullptr)); }

}  // namespace

const Expression* ExpressionParser::expression() {
  TokenStream::Level level(tokens_);
  const Expression* value = either();
  while (tokens_.is_name("if")) {
    Expression* node = make(ExpressionType::kConditional);
    tokens_.next();
    const Expression* condition = either();
    const Expression* otherwise = tokens_.skip_name("else") ? expression() : nullptr;
    node->children = tokens_.keep<const Expression*>({value, condition, otherwise});
    value = node;
    if (otherwise == nullptr && tokens_.is_name("if")) fail("an inline 'if' follows another; use brackets");
  }
  return value;
}

const Expression* ExpressionParser::tuple(bool with_conditional) {
  const auto ends = [&] {
    return tokens_.is(TokenType::kVariableEnd) || tokens_.is(TokenType::kBlockEnd) || tokens_.is_operator(")") ||
           tokens_.is_name("recursive");
  };
  TokenStream::Level level(tokens_);
  const Expression* first = with_conditional ? expression() : either();
  if (!tokens_.is_operator(",")) return first;
  Expression* node = make(ExpressionType::kTuple);
  std::vector<const Expression*> parts = {first};
  while (tokens_.skip_operator(",") && !ends()) parts.push_back(with_conditional ? expression() : either());
  node->children = tokens_.keep(parts);
  return node;
}

const Expression* ExpressionParser::target(bool allow_namespace) {
  TokenStream::Level level(tokens_);
  const Expression* first = target_part(allow_namespace);
  if (!tokens_.is_operator(",")) return first;
  Expression* node = make(ExpressionType::kTuple);
  std::vector<const Expression*> parts = {first};
  while (tokens_.skip_operator(",") && !tokens_.is_name("in") && !tokens_.is_operator("=") &&
         !tokens_.is_operator(")")) {
    parts.push_back(target_part(allow_namespace));
  }
  node->children = tokens_.keep(parts);
  return node;
}

const Expression* ExpressionParser::target_part(bool allow_namespace) {
  if (tokens_.skip_operator("(")) {
    const Expression* intermediate = target(allow_namespace);
    tokens_.expect_operator(")");
    return intermediate;
  }
  Expression* node = make(ExpressionType::kName);
  node->name = tokens_.expect_name();
  for (std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
    if (node->name == reserved) fail(absl::StrCat("cannot assign to '", std::string(reserved), "'"));
  }
  if (allow_namespace && tokens_.skip_operator(".")) {
    node->type = ExpressionType::kNamespaceTarget;
    node->value = string(tokens_.expect_name());
  }
  return node;
}

std::vector<NamedExpression> ExpressionParser::parameters() {
  std::vector<NamedExpression> result;
  tokens_.expect_operator("(");
  while (!tokens_.is_operator(")")) {
    if (!result.empty()) tokens_.expect_operator(",");
    NamedExpression parameter{tokens_.expect_name(), nullptr};
    if (tokens_.skip_operator("=")) {
      parameter.value = expression();
    } else if (!result.empty() && result.back().value != nullptr) {
      fail("a parameter without a default follows one that has a default");
    }
    result.push_back(parameter);
  }
  tokens_.next();
  return result;
}

const Expression* ExpressionParser::joined(ExpressionType type, Part part, std::string_view word) {
  Expression* node = nullptr;
  std::vector<const Expression*> parts = {(this->*part)()};
  while (type == ExpressionType::kConcat ? tokens_.is_operator(word) : tokens_.is_name(word)) {
    if (node == nullptr) node = make(type);
    tokens_.next();
    parts.push_back((this->*part)());
  }
  if (node == nullptr) return parts[0];
  node->children = tokens_.keep(parts);
  return node;
}

const Expression* ExpressionParser::operation(Part part, char (*read)(TokenStream&), ExpressionType type) {
  const int line = tokens_.now().line;
  const Expression* first = (this->*part)();
  char op = read(tokens_);
  if (op == 0) return first;
  Expression* node = make(type);
  node->line = line;
  std::vector<const Expression*> parts = {first};
  std::string operators;
  for (; op != 0; op = read(tokens_)) {
    operators.push_back(op);
    parts.push_back((this->*part)());
  }
  node->name = tokens_.budget().copy(operators);
  node->children = tokens_.keep(parts);
  return node;
}

const Expression* ExpressionParser::either() { return joined(ExpressionType::kOr, &ExpressionParser::both, "or"); }
const Expression* ExpressionParser::both() { return joined(ExpressionType::kAnd, &ExpressionParser::negation, "and"); }

const Expression* ExpressionParser::negation() {
  if (!tokens_.is_name("not")) return comparison();
  TokenStream::Level level(tokens_);
  Expression* node = make(ExpressionType::kNot);
  tokens_.next();
  node->children = tokens_.keep<const Expression*>({negation()});
  return node;
}

const Expression* ExpressionParser::comparison() {
  return operation(&ExpressionParser::sum, read_comparison, ExpressionType::kCompare);
}
const Expression* ExpressionParser::sum() {
  return operation(&ExpressionParser::concatenation, read_sum, ExpressionType::kBinary);
}
const Expression* ExpressionParser::concatenation() {
  return joined(ExpressionType::kConcat, &ExpressionParser::product, "~");
}
const Expression* ExpressionParser::product() {
  return operation(&ExpressionParser::power, read_product, ExpressionType::kBinary);
}
const Expression* ExpressionParser::power() {
  return operation(&ExpressionParser::signed_value, read_power, ExpressionType::kBinary);
}

const Expression* ExpressionParser::unary(bool with_filters) {
  if (!tokens_.is_operator("-") && !tokens_.is_operator("+")) return chain(primary(), with_filters);
  TokenStream::Level level(tokens_);
  Expression* node = make(tokens_.is_operator("-") ? ExpressionType::kNegate : ExpressionType::kPlus);
  tokens_.next();
  node->children = tokens_.keep<const Expression*>({unary(false)});
  return chain(node, with_filters);
}

const Expression* ExpressionParser::primary() {
  if (tokens_.is(TokenType::kName)) return name();
  if (tokens_.is_operator("(")) return parenthesised();
  if (tokens_.is_operator("[")) return list();
  if (tokens_.is_operator("{")) return dict();
  return constant();
}

const Expression* ExpressionParser::constant() {
  Expression* node = make(ExpressionType::kConstant);
  if (tokens_.is(TokenType::kString)) {
    std::string text;
    while (tokens_.is(TokenType::kString)) text += unescape(tokens_.next().text);  // neighbours are one string
    node->value = string(tokens_.budget().copy(text));
  } else if (tokens_.is(TokenType::kInteger)) {
    node->value = parse_integer(tokens_.next().text);
  } else if (tokens_.is(TokenType::kFloat)) {
    node->value = parse_float(tokens_.next().text);
  } else {
    tokens_.unexpected("an expression");
  }
  return node;
}

const Expression* ExpressionParser::name() {
  Expression* node = make(ExpressionType::kConstant);
  node->name = tokens_.next().text;
  if (node->name == "true" || node->name == "True" || node->name == "false" || node->name == "False") {
    node->value = boolean(node->name[0] == 't' || node->name[0] == 'T');
  } else if (node->name == "none" || node->name == "None") {
    node->value = none();
  } else {
    node->type = ExpressionType::kName;
    varargs_seen += node->name == "varargs";
    kwargs_seen += node->name == "kwargs";
    loop_seen += node->name == "loop";
  }
  return node;
}

const Expression* ExpressionParser::parenthesised() {
  tokens_.next();
  if (tokens_.skip_operator(")")) return make(ExpressionType::kTuple);
  const Expression* intermediate = tuple();
  tokens_.expect_operator(")");
  return intermediate;
}

const Expression* ExpressionParser::list() {
  Expression* node = make(ExpressionType::kList);
  tokens_.next();
  std::vector<const Expression*> items;
  while (!tokens_.is_operator("]")) {
    if (!items.empty()) tokens_.expect_operator(",");
    if (tokens_.is_operator("]")) break;
    items.push_back(expression());
  }
  tokens_.next();
  node->children = tokens_.keep(items);
  return node;
}

const Expression* ExpressionParser::dict() {
  Expression* node = make(ExpressionType::kDict);
  tokens_.next();
  std::vector<const Expression*> items;
  while (!tokens_.is_operator("}")) {
    if (!items.empty()) tokens_.expect_operator(",");
    if (tokens_.is_operator("}")) break;
    items.push_back(expression());
    tokens_.expect_operator(":");
    items.push_back(expression());
  }
  tokens_.next();
  node->children = tokens_.keep(items);
  return node;
}

}  // namespace polymath::text::jinja
