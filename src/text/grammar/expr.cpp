#include "text/grammar/expr.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace polymath::text::grammar {
namespace {

constexpr int kStates = 256;  // entries of a Dfa's state

// Which states reach an accepting one.
std::vector<uint8_t> productive_states(const Dfa& dfa) {
  const int n = dfa.n_states();
  std::vector<std::vector<int32_t>> before(static_cast<size_t>(n));
  std::vector<int32_t> open;
  std::vector<uint8_t> productive(dfa.accepts);
  for (int s = 0; s < n; ++s) {
    if (productive[s] != 0) open.push_back(s);
    for (int b = 0; b < kStates; ++b) {
      const int32_t to = dfa.next[static_cast<size_t>(s) * kStates + b];
      if (to >= 0) before[to].push_back(s);
    }
  }
  while (!open.empty()) {
    const int32_t s = open.back();
    open.pop_back();
    for (const int32_t from : before[s]) {
      if (productive[from] != 0) continue;
      productive[from] = 1;
      open.push_back(from);
    }
  }
  return productive;
}

}  // namespace

ExprPool::ExprPool(const ExprLimits& limits) : limits_(limits) {
  exprs_ = {Expr{}, Expr{.kind = ExprKind::kEpsilon, .nullable = true}};
  life_ = {2, 1};
  rows_of_ = quick_rows_ = {-1, -1};
  ids_[{ExprKind::kNothing, 0, 0, 0}] = kNothing;
  ids_[{ExprKind::kEpsilon, 0, 0, 0}] = kEpsilon;
}

ExprId ExprPool::intern(const Expr& expr) {
  const auto [at, is_new] =
      ids_.try_emplace(Key{expr.kind, expr.a, expr.b, expr.c}, static_cast<ExprId>(exprs_.size()));
  if (!is_new) return at->second;
  if (exprs_.size() >= limits_.exprs_max) fail("the grammar needs too many states (exprs_max)");
  exprs_.push_back(expr);
  life_.push_back(expr.narrows ? 0 : 1);
  rows_of_.push_back(-1);
  quick_rows_.push_back(-1);
  return at->second;
}

ExprId ExprPool::bytes(const ByteSet& set) {
  if (set.empty()) return kNothing;
  if (set.size() == 1) {
    const char byte = static_cast<char>(set.first());
    return text(std::string_view(&byte, 1));
  }
  const auto [at, is_new] = set_ids_.try_emplace(set.words, static_cast<int32_t>(sets_.size()));
  if (is_new) sets_.push_back(set);
  return intern({.kind = ExprKind::kBytes, .a = at->second});
}

ExprId ExprPool::text(std::string_view text) {
  if (text.empty()) return kEpsilon;
  const auto [at, is_new] = text_ids_.try_emplace(std::string(text), static_cast<int32_t>(texts_.size()));
  if (is_new) texts_ += text;
  return intern({.kind = ExprKind::kText, .a = at->second, .b = static_cast<int32_t>(text.size())});
}

std::string_view ExprPool::text_of(ExprId e) const {
  return std::string_view(texts_).substr(static_cast<size_t>(at(e).a), static_cast<size_t>(at(e).b));
}

std::span<const ExprId> ExprPool::parts(ExprId e) const {
  return std::span(lists_).subspan(static_cast<size_t>(at(e).a), static_cast<size_t>(at(e).b));
}

// Nested to the right. Before an irregular end, the regular parts stand together: they are one automaton.
ExprId ExprPool::concat(ExprId a, ExprId b) {
  if (a == kNothing || b == kNothing) return kNothing;
  if (a == kEpsilon) return b;
  if (b == kEpsilon) return a;
  const Expr left = at(a), right = at(b);
  if (left.kind == ExprKind::kConcat && (!left.regular || right.regular)) {
    std::vector<ExprId> parts;
    for (; at(a).kind == ExprKind::kConcat; a = at(a).b) parts.push_back(at(a).a);
    b = concat(a, b);
    for (; !parts.empty(); parts.pop_back()) b = concat(parts.back(), b);
    return b;
  }
  if (left.regular && right.kind == ExprKind::kConcat && !right.regular && regular(right.a)) {
    return concat(concat(a, right.a), right.b);
  }
  return intern({.kind = ExprKind::kConcat,
                 .nullable = left.nullable && right.nullable,
                 .regular = left.regular && right.regular,
                 .narrows = left.narrows || right.narrows,
                 .a = a,
                 .b = b});
}

ExprId ExprPool::concat(std::initializer_list<ExprId> parts) {
  ExprId all = kEpsilon;
  for (auto part = parts.end(); part != parts.begin();) all = concat(*--part, all);
  return all;
}

ExprId ExprPool::list(ExprKind kind, std::vector<ExprId> parts) {
  Expr expr{.kind = kind, .nullable = kind == ExprKind::kAnd, .b = static_cast<int32_t>(parts.size())};
  expr.narrows = kind == ExprKind::kAnd;
  for (const ExprId part : parts) {
    const Expr& p = at(part);
    expr.regular = expr.regular && p.regular;
    expr.narrows = expr.narrows || p.narrows;
    expr.nullable = kind == ExprKind::kAnd ? expr.nullable && p.nullable : expr.nullable || p.nullable;
  }
  const auto [at, is_new] = list_ids_.try_emplace(parts, static_cast<int32_t>(lists_.size()));
  if (is_new) lists_.insert(lists_.end(), parts.begin(), parts.end());
  if (lists_.size() > limits_.lists_max) fail("the grammar has too many alternatives in its states (lists_max)");
  expr.a = at->second;
  return intern(expr);
}

ExprId ExprPool::alt(std::vector<ExprId> parts) {
  std::vector<ExprId> flat;
  ByteSet set;
  const ExprId everything = inverse(kNothing);
  for (const ExprId part : parts) {
    const Expr& p = at(part);
    if (part == everything) return everything;
    if (p.kind == ExprKind::kAlt && p.regular) {
      const auto inner = this->parts(part);
      flat.insert(flat.end(), inner.begin(), inner.end());
    } else if (part != kNothing) {
      flat.push_back(part);
    }
  }
  bool nullable = false;
  std::erase_if(flat, [&](ExprId part) {
    const Expr& p = at(part);
    nullable = nullable || (part != kEpsilon && p.nullable);
    if (p.kind == ExprKind::kBytes) set |= sets_[static_cast<size_t>(p.a)];
    const bool is_byte = p.kind == ExprKind::kText && p.b == 1;
    if (is_byte) set.add(static_cast<uint8_t>(texts_[static_cast<size_t>(p.a)]));
    return p.kind == ExprKind::kBytes || is_byte;
  });
  if (!set.empty()) flat.push_back(bytes(set));
  if (nullable) std::erase(flat, kEpsilon);
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return kNothing;
  return flat.size() == 1 ? flat.front() : list(ExprKind::kAlt, std::move(flat));
}

ExprId ExprPool::both(std::vector<ExprId> parts) {
  std::vector<ExprId> flat;
  const ExprId everything = inverse(kNothing);
  for (const ExprId part : parts) {
    CHECK(regular(part));
    if (part == kNothing) return kNothing;
    if (at(part).kind == ExprKind::kAnd) {
      const auto inner = this->parts(part);
      flat.insert(flat.end(), inner.begin(), inner.end());
    } else if (part != everything) {
      flat.push_back(part);
    }
  }
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return everything;
  if (flat.size() == 1) return flat.front();
  const bool has_epsilon = std::find(flat.begin(), flat.end(), kEpsilon) != flat.end();
  if (has_epsilon) {
    const bool all = std::all_of(flat.begin(), flat.end(), [&](ExprId e) { return nullable(e); });
    return all ? kEpsilon : kNothing;
  }
  return list(ExprKind::kAnd, std::move(flat));
}

ExprId ExprPool::inverse(ExprId a) {
  const Expr inner = at(a);
  CHECK(inner.regular);
  if (inner.kind == ExprKind::kNot) return inner.a;
  // The complement of kNothing is everything: no dead end.
  return intern({.kind = ExprKind::kNot, .nullable = !inner.nullable, .narrows = a != kNothing, .a = a});
}

ExprId ExprPool::repeat(ExprId a, int least, int most) {
  CHECK(least >= 0 && (most == kUnbounded || most >= least));
  if (most == 0 || a == kEpsilon) return kEpsilon;
  if (a == kNothing) return least == 0 ? kEpsilon : kNothing;
  if (least == 1 && most == 1) return a;
  const Expr inner = at(a);
  if (inner.nullable) least = 0;  // an empty round counts
  return intern({.kind = ExprKind::kRepeat,
                 .nullable = least == 0,
                 .regular = inner.regular,
                 .narrows = inner.narrows,
                 .a = a,
                 .b = least,
                 .c = most});
}

ExprId ExprPool::dfa(const Dfa& dfa, int state) {
  const auto productive = productive_states(dfa);
  if (productive[static_cast<size_t>(state)] == 0) return kNothing;
  Dfa trimmed = dfa;
  for (int32_t& next : trimmed.next) {
    if (next >= 0 && productive[static_cast<size_t>(next)] == 0) next = -1;
  }
  const bool nullable = trimmed.accepts[static_cast<size_t>(state)] != 0;
  dfas_.push_back(std::move(trimmed));
  return intern(
      {.kind = ExprKind::kDfa, .nullable = nullable, .a = static_cast<int32_t>(dfas_.size() - 1), .b = state});
}

ExprId ExprPool::any_of(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return any_of_sorted(texts, 0);
}

// The texts share their first `depth` bytes.
ExprId ExprPool::any_of_sorted(std::span<const std::string> texts, size_t depth) {
  if (texts.empty()) return kNothing;
  if (texts.size() == 1) return text(std::string_view(texts.front()).substr(depth));
  // The first and the last share what all share.
  size_t shared = depth;
  const std::string &first = texts.front(), &last = texts.back();
  while (shared < first.size() && shared < last.size() && first[shared] == last[shared]) ++shared;
  std::vector<ExprId> branches;
  size_t from = 0;
  if (first.size() == shared) {
    branches.push_back(kEpsilon);
    from = 1;
  }
  while (from < texts.size()) {
    size_t to = from + 1;
    while (to < texts.size() && texts[to][shared] == texts[from][shared]) ++to;
    branches.push_back(any_of_sorted(texts.subspan(from, to - from), shared));
    from = to;
  }
  return concat(text(std::string_view(first).substr(depth, shared - depth)), alt(std::move(branches)));
}

int ExprPool::new_rule() {
  rules_.push_back(kNothing);
  return static_cast<int>(rules_.size()) - 1;
}

ExprId ExprPool::rule(int rule) { return intern({.kind = ExprKind::kRule, .regular = false, .a = rule}); }

}  // namespace polymath::text::grammar
