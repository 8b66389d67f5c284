#include "text/jinja/parser.h"

#include "absl/strings/str_cat.h"
#include "text/jinja/expression_parser.h"
#include "text/jinja/lexer.h"

namespace polymath::text::jinja {
namespace {

class StatementParser {
 public:
  explicit StatementParser(TokenStream& tokens) : tokens_(tokens), expressions_(tokens) {}

  Body whole() {
    const Body result = body({});
    if (!tokens_.is(TokenType::kEnd)) unknown_tag();
    return result;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  bool at_any(Names names) const {
    if (!tokens_.is(TokenType::kBlockBegin) || tokens_.ahead().type != TokenType::kName) return false;
    for (std::string_view name : names) {
      if (tokens_.ahead().text == name) return true;
    }
    return false;
  }

  // Statements up to the tag that begins with one of `ends`; past its '{%' and its name, which is returned.
  std::string_view body_until(Names ends, Body& result) {
    result = body(ends);
    if (tokens_.is(TokenType::kEnd)) {
      fail(absl::StrCat("the template ends where '", std::string(*(ends.end() - 1)), "' is expected"));
    }
    tokens_.next();
    return tokens_.next().text;
  }

  void end_block() { tokens_.expect(TokenType::kBlockEnd, "the end of the tag"); }

  Body body(Names ends) {
    TokenStream::Level level(tokens_);
    std::vector<const Statement*> statements;
    while (!tokens_.is(TokenType::kEnd) && !at_any(ends)) {
      if (tokens_.is(TokenType::kData)) {
        Statement* text = make(StatementType::kText);
        text->text = tokens_.next().text;
        statements.push_back(text);
      } else if (tokens_.is(TokenType::kVariableBegin)) {
        statements.push_back(output());
      } else {
        statements.push_back(block());
      }
    }
    return tokens_.keep(statements);
  }

  Statement* make(StatementType type) {
    auto* node = tokens_.node<Statement>();
    node->type = type;
    return node;
  }

  const Statement* output() {
    tokens_.next();
    Statement* node = make(StatementType::kOutput);
    node->value = expressions_.tuple();
    tokens_.expect(TokenType::kVariableEnd, "'}}'");
    return node;
  }

  const Statement* block() {
    using Parse = const Statement* (StatementParser::*)();
    static constexpr std::pair<std::string_view, Parse> kTags[] = {
        {"if", &StatementParser::if_block},
        {"for", &StatementParser::for_block},
        {"set", &StatementParser::set},
        {"macro", &StatementParser::macro},
        {"call", &StatementParser::call_block},
        {"filter", &StatementParser::filter_block},
        {"with", &StatementParser::with_block},
        {"generation", &StatementParser::generation},
        {"break", &StatementParser::loop_control},
        {"continue", &StatementParser::loop_control},
        {"print", &StatementParser::print},
    };
    for (const auto& [name, parse] : kTags) {
      if (tokens_.ahead().type != TokenType::kName || tokens_.ahead().text != name) continue;
      tokens_.next();
      return (this->*parse)();
    }
    unknown_tag();
  }

  [[noreturn]] void unknown_tag() {
    tokens_.next();
    const std::string name(tokens_.now().text.substr(0, 40));
    for (std::string_view tag :
         {"include", "import", "from", "extends", "block", "do", "autoescape", "trans", "debug"}) {
      if (name == tag) fail(absl::StrCat("the tag '", name, "' is not supported in chat templates"));
    }
    fail(absl::StrCat("there is no tag '", name, "', or it does not belong here"));
  }

  const Statement* if_block() {
    Statement* node = make(StatementType::kIf);
    std::vector<Branch> branches;
    bool has_else = false;
    for (std::string_view tag = tokens_.next().text; tag != "endif";) {
      Branch branch;
      has_else = tag == "else";
      if (!has_else) branch.condition = expressions_.tuple(false);
      end_block();
      tag = has_else ? body_until({"endif"}, branch.body) : body_until({"elif", "else", "endif"}, branch.body);
      branches.push_back(branch);
    }
    end_block();
    node->branches = tokens_.keep(branches);
    return node;
  }

  const Statement* for_block() {
    Statement* node = make(StatementType::kFor);
    tokens_.next();
    const size_t loop = expressions_.loop_seen;
    node->target = expressions_.target();
    if (!tokens_.skip_name("in")) tokens_.unexpected("'in'");
    node->value = expressions_.tuple(false);
    if (tokens_.skip_name("if")) node->condition = expressions_.expression();
    if (tokens_.is_name("recursive")) fail("recursive loops are not supported");
    end_block();
    ++loops_;
    const std::string_view tag = body_until({"else", "endfor"}, node->body);
    --loops_;
    node->uses_loop = expressions_.loop_seen > loop;
    if (tag == "else") {
      end_block();
      body_until({"endfor"}, node->otherwise);
    }
    end_block();
    return node;
  }

  const Statement* loop_control() {
    if (loops_ == 0) fail(absl::StrCat("'", std::string(tokens_.now().text), "' outside of a loop"));
    Statement* node = make(tokens_.is_name("break") ? StatementType::kBreak : StatementType::kContinue);
    tokens_.next();
    end_block();
    return node;
  }

  const Statement* set() {
    Statement* node = make(StatementType::kSet);
    tokens_.next();
    node->target = expressions_.target(true);
    if (tokens_.skip_operator("=")) {
      node->value = expressions_.tuple();
      end_block();
      return node;
    }
    node->type = StatementType::kSetBlock;
    if (tokens_.skip_operator("|")) node->value = expressions_.filters();
    end_block();
    own_body(*node, "endset");
    return node;
  }

  // A body that is rendered apart: break and continue do not reach out of it.
  void own_body(Statement& node, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    body_until({end}, node.body);
    loops_ = loops;
    end_block();
  }

  const Statement* macro() {
    Statement* node = make(StatementType::kMacro);
    tokens_.next();
    node->text = tokens_.expect_name();
    node->parameters = tokens_.keep(expressions_.parameters());
    end_block();
    const size_t varargs = expressions_.varargs_seen, kwargs = expressions_.kwargs_seen;
    own_body(*node, "endmacro");
    node->uses_varargs = expressions_.varargs_seen > varargs;
    node->uses_kwargs = expressions_.kwargs_seen > kwargs;
    return node;
  }

  const Statement* call_block() {
    Statement* node = make(StatementType::kCallBlock);
    tokens_.next();
    node->text = "caller";
    if (tokens_.is_operator("(")) node->parameters = tokens_.keep(expressions_.parameters());
    node->value = expressions_.expression();
    if (node->value->type != ExpressionType::kChain || node->value->children.back()->type != ExpressionType::kCall) {
      fail("a call block needs a call");
    }
    end_block();
    own_body(*node, "endcall");
    return node;
  }

  const Statement* filter_block() {
    Statement* node = make(StatementType::kFilterBlock);
    tokens_.next();
    node->value = expressions_.filters();
    end_block();
    own_body(*node, "endfilter");
    return node;
  }

  const Statement* with_block() {
    Statement* node = make(StatementType::kWith);
    tokens_.next();
    std::vector<NamedExpression> names;
    while (!tokens_.is(TokenType::kBlockEnd)) {
      if (!names.empty()) tokens_.expect_operator(",");
      const std::string_view name = tokens_.expect_name();
      tokens_.expect_operator("=");
      names.push_back({name, expressions_.expression()});
    }
    end_block();
    node->parameters = tokens_.keep(names);
    body_until({"endwith"}, node->body);
    end_block();
    return node;
  }

  // transformers marks what the assistant said for training; rendered, it is its body.
  const Statement* generation() {
    Statement* node = make(StatementType::kGeneration);
    tokens_.next();
    end_block();
    own_body(*node, "endgeneration");
    return node;
  }

  const Statement* print() {
    Statement* node = make(StatementType::kOutput);
    tokens_.next();
    std::vector<const Expression*> parts = {expressions_.expression()};
    while (tokens_.skip_operator(",")) parts.push_back(expressions_.expression());
    auto* all = tokens_.node<Expression>();  // one after another, unlike {{ a, b }}, which is a tuple
    all->type = ExpressionType::kConcat;
    all->children = tokens_.keep(parts);
    node->value = all;
    end_block();
    return node;
  }

  TokenStream& tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;  // around the statement, up to the body that is rendered apart
};

}  // namespace

void parse_template(std::string_view source, int depth_max, Template& result) {
  result.source = normalize_source(source);
  TokenStream tokens(tokenize(result.source, &result.budget.line), result.budget, depth_max);
  result.body = StatementParser(tokens).whole();
}

}  // namespace polymath::text::jinja
