// Does a template walk the parts of a content: loops_over_content().

#include <algorithm>
#include <string_view>
#include <vector>

#include "text/jinja/parser.h"

namespace polymath::text::jinja {
namespace {

using Names = std::vector<std::string_view>;

bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Calls `visit` on each statement, outer ones first.
template <typename Visit>
void walk(Body body, Visit visit) {
  for (const Statement* statement : body) {
    visit(*statement);
    for (const Branch& branch : statement->branches) walk(branch.body, visit);
    walk(statement->body, visit);
    walk(statement->otherwise, visit);
  }
}

bool keeps_elements(const Expression& operation) {
  return operation.type == ExpressionType::kFilter || operation.type == ExpressionType::kTest ||
         operation.type == ExpressionType::kSlice;
}

bool is_content(const Expression& operation) {
  if (operation.type == ExpressionType::kAttribute) return operation.name == "content";
  if (operation.type != ExpressionType::kItem) return false;
  const Expression& key = *operation.children[0];
  return key.type == ExpressionType::kConstant && key.value.is(Kind::kString) && key.value.text() == "content";
}

// The variable of x, x | f, x[1:]; empty: another expression. With `of_content`, that of x.content | f.
std::string_view variable_of(const Expression& e, bool of_content) {
  if (e.type == ExpressionType::kName) return of_content ? "" : e.name;
  if (e.type != ExpressionType::kChain || e.children[0] == nullptr) return "";
  if (e.children[0]->type != ExpressionType::kName) return "";
  size_t next = 1;
  if (of_content && !is_content(*e.children[next++])) return "";
  for (; next < e.children.size(); ++next) {
    if (!keeps_elements(*e.children[next])) return "";
  }
  return e.children[0]->name;
}

bool is_name(const Expression* target) { return target != nullptr && target->type == ExpressionType::kName; }

// `messages` and what is set to it or to a part of it.
Names names_of_messages(Body body) {
  Names names = {"messages"};
  for (size_t before = 0; before != names.size();) {
    before = names.size();
    walk(body, [&](const Statement& s) {
      if (s.type != StatementType::kSet || !is_name(s.target)) return;
      if (has(names, variable_of(*s.value, false)) && !has(names, s.target->name)) names.push_back(s.target->name);
    });
  }
  return names;
}

}  // namespace

bool loops_over_content(Body body) {
  const Names lists = names_of_messages(body);
  Names messages;
  walk(body, [&](const Statement& s) {
    if (s.type == StatementType::kFor && is_name(s.target) && has(lists, variable_of(*s.value, false))) {
      messages.push_back(s.target->name);
    }
  });
  bool found = false;
  walk(body, [&](const Statement& s) {
    found = found || (s.type == StatementType::kFor && has(messages, variable_of(*s.value, true)));
  });
  return found;
}

}  // namespace polymath::text::jinja
