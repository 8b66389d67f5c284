#pragma once

// The parsers' view of the tokens, and the arena that their nodes go to.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"
#include "text/jinja/memory.h"

namespace polymath::text::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, Budget& budget, int depth_max)
      : tokens_(std::move(tokens)), budget_(budget), depth_max_(depth_max) {
    budget_.line = tokens_[0].line;
  }

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  bool is(TokenType type) const { return now().type == type; }
  bool is_name(std::string_view name) const { return is(TokenType::kName) && now().text == name; }
  bool is_operator(std::string_view op) const { return is(TokenType::kOperator) && now().text == op; }

  Token next();                           // the token passed over
  bool skip_name(std::string_view name);  // true: it was there
  bool skip_operator(std::string_view op);
  void expect_operator(std::string_view op);
  std::string_view expect_name();
  void expect(TokenType type, std::string_view what);
  [[noreturn]] void unexpected(std::string_view wanted) const;

  Budget& budget() { return budget_; }

  template <typename T>
  T* node() {
    T* result = budget_.make<T>();
    result->line = now().line;
    return result;
  }
  template <typename T>
  std::span<const T> keep(const std::vector<T>& items) {
    if (items.empty()) return {};
    auto* memory = static_cast<T*>(budget_.objects()->allocate(items.size() * sizeof(T), alignof(T)));
    std::uninitialized_copy(items.begin(), items.end(), memory);
    return {memory, items.size()};
  }

  // One more level of nesting while it lives; TemplateError at depth_max.
  class Level {
   public:
    explicit Level(TokenStream& stream) : stream_(stream) {
      if (++stream_.depth_ > stream_.depth_max_) fail("the template is nested too deeply");
    }
    ~Level() { --stream_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    TokenStream& stream_;
  };

 private:
  std::vector<Token> tokens_;
  Budget& budget_;
  size_t at_ = 0;
  int depth_ = 0;
  int depth_max_;
};

}  // namespace polymath::text::jinja
