// Statements, scopes and output. Expressions: evaluate.cpp; macros: macro.cpp.

#include "text/jinja/interpreter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "text/jinja/format.h"
#include "text/utf8.h"

namespace polymath::text::jinja {
namespace {

// The ranges in order, those that touch as one, without what lies beyond `size`.
std::vector<ByteRange> joined(std::pmr::vector<ByteRange>& ranges, size_t size) {
  std::sort(ranges.begin(), ranges.end(), [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  std::vector<ByteRange> out;
  for (const ByteRange& range : ranges) {
    const size_t end = std::min(range.end, size);
    if (range.begin >= end) continue;
    if (out.empty() || range.begin > out.back().end) {
      out.push_back({range.begin, end});
    } else {
      out.back().end = std::max(out.back().end, end);
    }
  }
  return out;
}

}  // namespace

class Interpreter::PlainSource : public LoopSource {
 public:
  PlainSource(Budget& budget, const Value& items) {
    if (items.is(Kind::kRange)) {
      range_ = items.range;  // counted, never written out
    } else if (items.is(Kind::kString) && is_ascii(items.text())) {
      budget.scan(items.size);
      letters_ = items.text();
    } else {
      list_ = elements(budget, items);
    }
  }
  bool has(size_t i) override { return i < count(); }
  size_t count() override {
    if (range_ != nullptr) return range_->length;
    return list_ != nullptr ? list_->items.size() : letters_.size();
  }
  Value at(size_t i) override {
    if (range_ != nullptr) return integer(range_->at(i));
    return list_ != nullptr ? list_->items[i] : string(letters_.substr(i, 1));
  }

 private:
  const Range* range_ = nullptr;
  const List* list_ = nullptr;
  std::string_view letters_;  // of a text, one byte each
};

class Interpreter::FilteredSource : public LoopSource {
 public:
  FilteredSource(Interpreter& interpreter, const Statement& loop, LoopSource& all)
      : interpreter_(interpreter),
        loop_(loop),
        all_(all),
        outer_(interpreter.scope_),
        scope_(interpreter.new_scope(outer_)),
        passed_(interpreter.budget_.objects()) {}
  ~FilteredSource() override { interpreter_.give_back(scope_); }

  bool has(size_t i) override {
    while (passed_.size() <= i && all_.has(next_)) pull();
    return i < passed_.size();
  }
  size_t count() override {
    while (all_.has(next_)) pull();
    return passed_.size();
  }
  Value at(size_t i) override { return passed_[i]; }

 private:
  void pull() {
    interpreter_.budget_.step();
    const Value item = all_.at(next_++);
    scope_ = interpreter_.fresh(scope_);
    Inside inside(interpreter_, scope_);
    interpreter_.assign(*loop_.target, item);
    if (truth(interpreter_.evaluate(*loop_.condition))) passed_.push_back(item);
  }

  Interpreter& interpreter_;
  const Statement& loop_;
  LoopSource& all_;
  size_t next_ = 0;
  Scope* outer_;
  Scope* scope_;
  Values passed_;
};

Interpreter::Level::Level(Interpreter& interpreter) : interpreter_(interpreter) {
  if (++interpreter_.depth_ > interpreter_.limits_.depth_max) {
    --interpreter_.depth_;
    fail(absl::StrCat("the template nests its blocks, expressions or macro calls more than ",
                      interpreter_.limits_.depth_max, " deep"));
  }
}

Interpreter::Interpreter(Budget& budget, const RenderLimits& limits)
    : budget_(budget), limits_(limits), scope_(new_scope(nullptr)), generated_(budget.objects()) {}

RenderedChat Interpreter::render(Body body) {
  Nested nested(*this, scope_);
  run(body);
  std::vector<ByteRange> generated = joined(generated_, output_.size());
  return {std::move(output_), std::move(generated)};
}

Scope* Interpreter::new_scope(Scope* parent) {
  if (free_scopes_.empty()) return budget_.make<Scope>(parent, budget_.objects());
  Scope* scope = free_scopes_.back();
  free_scopes_.pop_back();
  scope->parent = parent;
  return scope;
}

void Interpreter::give_back(Scope* scope) {
  if (scope->captured) return;
  scope->names.clear();
  free_scopes_.push_back(scope);
}

Scope* Interpreter::fresh(Scope* scope) {
  if (scope->captured) return new_scope(scope->parent);
  scope->names.clear();
  return scope;
}

void Interpreter::set(std::string_view name, const Value& value) {
  budget_.step(1 + scope_->names.size() / 16);
  for (auto& [known, old] : scope_->names) {
    if (known == name) {
      old = value;
      return;
    }
  }
  scope_->names.emplace_back(name, value);
}

Value Interpreter::lookup(std::string_view name) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    budget_.step(scope->names.size() / 16);
    for (const auto& [known, value] : scope->names) {
      if (known == name) return value;
    }
  }
  const Value global = find_global(name);
  return global.is(Kind::kUndefined) ? undefined(budget_, {.name = name}) : global;
}

void Interpreter::assign(const Expression& target, const Value& value) {
  if (target.type == ExpressionType::kName) return set(target.name, value);
  if (target.type == ExpressionType::kNamespaceTarget) return assign_attribute(target, value);
  const Values& items = elements(budget_, value)->items;
  if (items.size() < target.children.size()) {
    fail(absl::StrCat("not enough values to unpack (expected ", target.children.size(), ", got ", items.size(), ")"));
  }
  if (items.size() > target.children.size()) {
    fail(absl::StrCat("too many values to unpack (expected ", target.children.size(), ")"));
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i]);
}

void Interpreter::assign_attribute(const Expression& target, const Value& value) {
  const Value object = lookup(target.name);
  if (!object.is(Kind::kNamespace)) fail("cannot assign attribute on non-namespace object");
  insert(budget_, *object.dict, target.value, value);
}

void Interpreter::write(std::string_view text) {
  if (text.size() > limits_.output_bytes_max - output_.size()) {
    fail(absl::StrCat("the output is longer than ", limits_.output_bytes_max, " bytes"));
  }
  budget_.step(text.size() / 256);
  output_.append(text);
}

std::string_view Interpreter::captured(Body body) {
  const size_t begin = output_.size();  // one buffer for all, so that one limit holds for all
  run(body);
  const std::string_view text = budget_.copy(std::string_view(output_).substr(begin));
  output_.resize(begin);
  return text;
}

Interpreter::Flow Interpreter::run(Body body) {
  Level level(*this);
  for (const Statement* statement : body) {
    const Flow flow = run(*statement);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Statement& statement) {
  budget_.step();
  budget_.line = statement.line;
  switch (statement.type) {
    case StatementType::kText:
      write(statement.text);
      break;
    case StatementType::kOutput:
      write(to_str(budget_, evaluate(*statement.value)));
      break;
    case StatementType::kIf:
      return run_if(statement);
    case StatementType::kFor:
      return run_for(statement);
    case StatementType::kSet:
      assign(*statement.target, evaluate(*statement.value));
      break;
    case StatementType::kSetBlock:
      run_set_block(statement);
      break;
    case StatementType::kMacro:
      run_macro(statement);
      break;
    case StatementType::kCallBlock:
      run_call_block(statement);
      break;
    case StatementType::kFilterBlock:
      run_filter_block(statement);
      break;
    case StatementType::kWith:
      return run_with(statement);
    case StatementType::kGeneration:
      run_generation(statement);
      break;
    case StatementType::kBreak:
      return Flow::kBreak;
    case StatementType::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_if(const Statement& statement) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition == nullptr || truth(evaluate(*branch.condition))) return run(branch.body);
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_for(const Statement& statement) {
  const Value items = evaluate(*statement.value);
  PlainSource all(budget_, items);
  if (statement.condition == nullptr) return run_loop(statement, all);
  FilteredSource some(*this, statement, all);
  return run_loop(statement, some);
}

Interpreter::Flow Interpreter::run_loop(const Statement& statement, LoopSource& source) {
  if (!source.has(0)) return run(statement.otherwise);
  Value loop;
  loop.kind = Kind::kLoop;
  loop.loop = statement.uses_loop ? budget_.make<Loop>() : nullptr;
  if (loop.loop != nullptr) loop.loop->source = &source;
  Scope* scope = new_scope(scope_);
  bool completed = false;  // Jinja's `else` also runs where break or continue ended every round
  for (size_t i = 0; source.has(i); ++i) {
    budget_.step();
    scope = fresh(scope);
    Inside inside(*this, scope);
    assign(*statement.target, source.at(i));
    if (loop.loop != nullptr) {
      loop.loop->index = i;
      set("loop", loop);
    }
    const Flow flow = run(statement.body);
    if (flow == Flow::kBreak) break;
    completed = completed || flow == Flow::kNormal;
  }
  if (loop.loop != nullptr) loop.loop->source = nullptr;
  give_back(scope);
  return !completed ? run(statement.otherwise) : Flow::kNormal;
}

Interpreter::Flow Interpreter::run_with(const Statement& statement) {
  Scope* scope = new_scope(scope_);
  for (const NamedExpression& name : statement.parameters) {
    const Value value = evaluate(*name.value);  // in the scope outside
    Inside inside(*this, scope);
    set(name.name, value);
  }
  Flow flow;
  {
    Inside inside(*this, scope);
    flow = run(statement.body);
  }
  give_back(scope);
  return flow;
}

// The text of a macro or of a block set is marked where it lies meanwhile. That is its place if it is written at once,
// unchanged.
void Interpreter::run_generation(const Statement& statement) {
  const size_t begin = output_.size();
  Nested nested(*this, scope_);
  run(statement.body);
  if (output_.size() > begin) generated_.push_back({begin, output_.size()});
}

void Interpreter::run_set_block(const Statement& statement) {
  Value value;
  {
    Nested nested(*this, scope_);
    value = string(captured(statement.body));
  }
  if (statement.value != nullptr) value = evaluate_chain(*statement.value, value);
  assign(*statement.target, value);
}

void Interpreter::run_filter_block(const Statement& statement) {
  Nested nested(*this, scope_);
  const Value text = string(captured(statement.body));
  write(to_str(budget_, evaluate_chain(*statement.value, text)));
}

void Interpreter::run_macro(const Statement& statement) { set(statement.text, make_macro(statement)); }

void Interpreter::run_call_block(const Statement& statement) {
  const Value caller = make_macro(statement);
  const Expression& chain = *statement.value;
  write(to_str(budget_, evaluate_chain(chain, evaluate(*chain.children[0]), &caller)));
}

}  // namespace polymath::text::jinja
