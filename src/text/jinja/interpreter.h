#pragma once

// Runs a parsed template over its variables.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/call.h"
#include "text/jinja/loop.h"
#include "text/jinja/value.h"
#include "text/rendered_chat.h"

namespace polymath::text::jinja {

// Names and their values. A loop's body, a macro, a block set have their own; an if has not.
struct Scope {
  Scope(Scope* p, std::pmr::memory_resource* memory) : parent(p), names(memory) {}
  Scope* parent;
  bool captured = false;  // a macro may come back to it: a loop must not use it again
  std::pmr::vector<std::pair<std::string_view, Value>> names;
};

struct Macro {
  const Statement* definition;
  Scope* scope;
};

struct RenderLimits {
  size_t output_bytes_max;  // beyond: TemplateError
  int depth_max;            // nested expressions, blocks and macro calls; beyond: TemplateError
  int64_t now_unix;
};

class Interpreter : public Context {
 public:
  Interpreter(Budget& budget, const RenderLimits& limits);

  void define(std::string_view name, const Value& value) { set(name, value); }
  RenderedChat render(Body body);

  Budget& budget() override { return budget_; }
  int64_t now_unix() const override { return limits_.now_unix; }
  Value call(const Value& callee, const Arguments& arguments) override;

 private:
  class FilteredSource;
  class PlainSource;
  enum class Flow { kNormal, kBreak, kContinue };

  class Level {  // one level of nesting, while it lives
   public:
    explicit Level(Interpreter& interpreter);
    ~Level() { --interpreter_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Interpreter& interpreter_;
  };

  class Inside {  // another scope, while it lives
   public:
    Inside(Interpreter& interpreter, Scope* scope)
        : interpreter_(interpreter), before_(std::exchange(interpreter.scope_, scope)) {}
    ~Inside() { interpreter_.scope_ = before_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Interpreter& interpreter_;
    Scope* before_;
  };

  class Nested {  // a scope of its own, while it lives
   public:
    Nested(Interpreter& interpreter, Scope* parent)
        : interpreter_(interpreter), scope_(interpreter.new_scope(parent)), inside_(interpreter, scope_) {}
    ~Nested() { interpreter_.give_back(scope_); }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Interpreter& interpreter_;
    Scope* scope_;
    Inside inside_;
  };

  Scope* new_scope(Scope* parent);
  void give_back(Scope* scope);  // to new_scope(), unless a macro has captured it
  Scope* fresh(Scope* scope);    // emptied, or a new one where this one is captured
  void set(std::string_view name, const Value& value);
  Value lookup(std::string_view name);
  void assign(const Expression& target, const Value& value);
  void assign_attribute(const Expression& target, const Value& value);

  void write(std::string_view text);
  std::string_view captured(Body body);  // what it writes, rendered in the present scope

  Flow run(Body body);
  Flow run(const Statement& statement);
  Flow run_if(const Statement& statement);
  Flow run_for(const Statement& statement);
  Flow run_loop(const Statement& statement, LoopSource& source);
  Flow run_with(const Statement& statement);
  void run_generation(const Statement& statement);
  void run_set_block(const Statement& statement);
  void run_macro(const Statement& statement);
  void run_call_block(const Statement& statement);
  void run_filter_block(const Statement& statement);
  Value make_macro(const Statement& statement);

  Value evaluate(const Expression& e);
  Value evaluate_node(const Expression& e);
  Value evaluate_conditional(const Expression& e);
  Value evaluate_compare(const Expression& e);
  Value evaluate_binary(const Expression& e);
  Value evaluate_concat(const Expression& e);
  Value evaluate_list(const Expression& e);
  Value evaluate_dict(const Expression& e);
  Value evaluate_chain(const Expression& e, Value value, const Value* caller = nullptr);
  Value evaluate_operation(const Expression& operation, const Value& value, const Value* caller);
  Value evaluate_slice(const Expression& operation, const Value& value);
  void evaluate_arguments(const Expression& call, Arguments& arguments);
  void spread(const NamedExpression& stars, Arguments& arguments);

  Value call_macro(const Macro& macro, const Arguments& arguments);
  void bind(const Statement& definition, const Arguments& arguments);
  Value call_loop_method(Loop& loop, std::string_view name, const Arguments& arguments);

  Budget& budget_;
  RenderLimits limits_;
  std::vector<Scope*> free_scopes_;
  Scope* scope_;
  std::string output_;
  std::pmr::vector<ByteRange> generated_;  // of output_; in order of their ends
  int depth_ = 0;
};

}  // namespace polymath::text::jinja
