#include "text/grammar/simplify.h"

#include <vector>

namespace polymath::text::grammar {
namespace {

// Which rules have a text. Concatenations are walked in a loop: they are longer than the machine's stack is deep.
class Productive {
 public:
  explicit Productive(ExprPool& pool) : pool_(pool), rules_(static_cast<size_t>(pool.n_rules()), 0) {
    // Back and forth: chains of rules go one way or the other.
    const int n = pool_.n_rules();
    bool forward = true;
    for (bool changed = true; changed; forward = !forward) {
      changed = false;
      for (int i = 0; i < n; ++i) {
        const int r = forward ? i : n - 1 - i;
        if (rules_[r] != 0 || !has_text(pool_.rule_body(r))) continue;
        rules_[r] = 1;
        changed = true;
      }
    }
  }

  bool has_text(ExprId e) {
    const Expr x = pool_.at(e);
    if (x.regular) return pool_.alive(e);
    switch (x.kind) {
      case ExprKind::kConcat:
        for (; pool_.at(e).kind == ExprKind::kConcat && !pool_.regular(e); e = pool_.at(e).b) {
          if (!has_text(pool_.at(e).a)) return false;
        }
        return has_text(e);
      case ExprKind::kAlt:
        for (const ExprId part : pool_.parts(e)) {
          if (has_text(part)) return true;
        }
        return false;
      case ExprKind::kRepeat:
        return x.b == 0 || has_text(x.a);
      case ExprKind::kRule:
        return rules_[static_cast<size_t>(x.a)] != 0;
      default:
        return false;
    }
  }

 private:
  ExprPool& pool_;
  std::vector<uint8_t> rules_;
};

class Rebuild {
 public:
  Rebuild(ExprPool& pool, Productive& productive) : pool_(pool), productive_(productive) {}

  ExprId of(ExprId e) {
    if (!productive_.has_text(e)) return kNothing;
    const Expr x = pool_.at(e);
    if (x.regular) return e;
    if (const auto known = done_.find(e); known != done_.end()) return known->second;
    ExprId result = e;
    if (x.kind == ExprKind::kConcat) result = concat(e);
    if (x.kind == ExprKind::kRepeat) result = pool_.repeat(of(x.a), x.b, x.c);
    if (x.kind == ExprKind::kAlt) {
      const auto inner = pool_.parts(e);
      std::vector<ExprId> parts(inner.begin(), inner.end());
      for (ExprId& part : parts) part = of(part);
      result = pool_.alt(std::move(parts));
    }
    done_[e] = result;
    return result;
  }

 private:
  ExprId concat(ExprId e) {
    std::vector<ExprId> parts;
    for (; pool_.at(e).kind == ExprKind::kConcat && !pool_.regular(e); e = pool_.at(e).b) {
      parts.push_back(of(pool_.at(e).a));
    }
    ExprId all = of(e);
    for (; !parts.empty(); parts.pop_back()) all = pool_.concat(parts.back(), all);
    return all;
  }

  ExprPool& pool_;
  Productive& productive_;
  absl::flat_hash_map<ExprId, ExprId> done_;
};

// The rules that an expression may call before it writes a byte; and whether it may write none at all.
class FirstRules {
 public:
  explicit FirstRules(const ExprPool& pool) : pool_(pool), empty_(static_cast<size_t>(pool.n_rules()), 0) {
    for (bool changed = true; changed;) {
      changed = false;
      for (int r = 0; r < pool_.n_rules(); ++r) {
        if (empty_[r] != 0 || !may_be_empty(pool_.rule_body(r))) continue;
        empty_[r] = 1;
        changed = true;
      }
    }
  }

  void add(ExprId e, std::vector<int>& out) const {
    while (true) {
      const Expr& x = pool_.at(e);
      if (x.regular) return;
      if (x.kind == ExprKind::kConcat) {
        add(x.a, out);
        if (!may_be_empty(x.a)) return;
        e = x.b;
        continue;
      }
      if (x.kind == ExprKind::kAlt) {
        for (const ExprId part : pool_.parts(e)) add(part, out);
        return;
      }
      if (x.kind == ExprKind::kRule) {
        out.push_back(x.a);
        return;
      }
      e = x.a;  // kRepeat
    }
  }

 private:
  bool may_be_empty(ExprId e) const {
    while (true) {
      const Expr& x = pool_.at(e);
      if (x.regular) return x.nullable;
      if (x.kind == ExprKind::kConcat) {
        if (!may_be_empty(x.a)) return false;
        e = x.b;
        continue;
      }
      if (x.kind == ExprKind::kRule) return empty_[static_cast<size_t>(x.a)] != 0;
      if (x.kind == ExprKind::kRepeat) return x.b == 0 || may_be_empty(x.a);
      for (const ExprId part : pool_.parts(e)) {
        if (may_be_empty(part)) return true;
      }
      return false;
    }
  }

  const ExprPool& pool_;
  std::vector<uint8_t> empty_;
};

}  // namespace

ExprId without_dead_ends(ExprPool& pool, ExprId root) {
  Productive productive(pool);
  Rebuild rebuild(pool, productive);
  for (int r = 0; r < pool.n_rules(); ++r) pool.set_rule(r, rebuild.of(pool.rule_body(r)));
  return rebuild.of(root);
}

absl::Status check_left_recursion(const ExprPool& pool, ExprId) {
  const FirstRules first(pool);
  const auto n = static_cast<size_t>(pool.n_rules());
  std::vector<std::vector<int>> calls(n);
  std::vector<int> n_callers(n, 0), open;
  for (size_t r = 0; r < n; ++r) {
    first.add(pool.rule_body(static_cast<int>(r)), calls[r]);
    for (const int to : calls[r]) ++n_callers[static_cast<size_t>(to)];
  }
  // Rules without callers go, one after another. What stays calls itself.
  for (size_t r = 0; r < n; ++r) {
    if (n_callers[r] == 0) open.push_back(static_cast<int>(r));
  }
  size_t n_gone = 0;
  for (; n_gone < open.size(); ++n_gone) {
    for (const int to : calls[static_cast<size_t>(open[n_gone])]) {
      if (--n_callers[static_cast<size_t>(to)] == 0) open.push_back(to);
    }
  }
  if (n_gone == n) return absl::OkStatus();
  return absl::UnimplementedError("left recursion: a rule calls itself before it writes anything");
}

}  // namespace polymath::text::grammar
