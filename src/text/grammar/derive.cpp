// Derivatives of regular expressions, and the search for dead ends.

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/check.h"
#include "text/grammar/expr.h"

namespace polymath::text::grammar {
namespace {

constexpr size_t kRowsAtFirst = 64;  // room, so that small grammars do not grow

enum Life : uint8_t { kUnknown, kAlive, kDead };

// Spreads the bits of a small number: sums of different subsets differ, but for a chance of 2^-64.
uint64_t spread(int n) {
  uint64_t x = static_cast<uint64_t>(n) + 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

}  // namespace

ExprId ExprPool::derive(ExprId e, uint8_t byte) {
  const Expr x = at(e);
  switch (x.kind) {
    case ExprKind::kBytes:
      return sets_[static_cast<size_t>(x.a)].has(byte) ? kEpsilon : kNothing;
    case ExprKind::kText:
      if (static_cast<uint8_t>(texts_[static_cast<size_t>(x.a)]) != byte) return kNothing;
      return x.b == 1 ? kEpsilon : intern({.kind = ExprKind::kText, .a = x.a + 1, .b = x.b - 1});
    case ExprKind::kConcat: {
      const ExprId first = concat(derive(x.a, byte), x.b);
      return nullable(x.a) ? alt({first, derive(x.b, byte)}) : first;
    }
    case ExprKind::kAlt:
    case ExprKind::kAnd: {
      const auto inner = parts(e);
      std::vector<ExprId> from(inner.begin(), inner.end());
      for (ExprId& part : from) {
        part = derive(part, byte);
        if (part == kNothing && x.kind == ExprKind::kAnd) return kNothing;
      }
      return x.kind == ExprKind::kAlt ? alt(std::move(from)) : both(std::move(from));
    }
    case ExprKind::kNot:
      return inverse(derive(x.a, byte));
    case ExprKind::kRepeat: {
      const int most = x.c == kUnbounded ? kUnbounded : x.c - 1;
      return concat(derive(x.a, byte), repeat(x.a, std::max(0, x.b - 1), most));
    }
    case ExprKind::kDfa: {
      const Dfa& dfa = dfas_[static_cast<size_t>(x.a)];
      const int32_t to = dfa.next[static_cast<size_t>(x.b) * 256 + byte];
      if (to < 0) return kNothing;
      return intern({.kind = ExprKind::kDfa, .nullable = dfa.accepts[static_cast<size_t>(to)] != 0, .a = x.a, .b = to});
    }
    case ExprKind::kNothing:
    case ExprKind::kEpsilon:
      return kNothing;
    case ExprKind::kRule:
    case ExprKind::kCount:
      break;
  }
  CHECK(false);
}

// Bytes that no first set tells apart get equal classes.
void ExprPool::add_firsts(ExprId e, std::array<uint64_t, 256>& classes, int& n_sets) const {
  const Expr& x = at(e);
  switch (x.kind) {
    case ExprKind::kBytes: {
      const uint64_t mark = spread(++n_sets);
      sets_[static_cast<size_t>(x.a)].each([&](uint8_t b) { classes[b] += mark; });
      return;
    }
    case ExprKind::kText:
      classes[static_cast<uint8_t>(texts_[static_cast<size_t>(x.a)])] += spread(++n_sets);
      return;
    case ExprKind::kConcat:
      add_firsts(x.a, classes, n_sets);
      if (nullable(x.a)) add_firsts(x.b, classes, n_sets);
      return;
    case ExprKind::kAlt:
    case ExprKind::kAnd:
      for (const ExprId part : parts(e)) add_firsts(part, classes, n_sets);
      return;
    case ExprKind::kNot:
    case ExprKind::kRepeat:
      return add_firsts(x.a, classes, n_sets);
    case ExprKind::kDfa: {
      const auto* next = &dfas_[static_cast<size_t>(x.a)].next[static_cast<size_t>(x.b) * 256];
      const int base = n_sets += 1;
      for (int b = 0; b < 256; ++b) {
        if (next[b] >= 0) classes[b] += spread(base * 0x10000 + next[b] + 1);
      }
      return;
    }
    default:
      return;
  }
}

// Its place among the rows.
int32_t ExprPool::row(ExprId e) {
  if (rows_of_[static_cast<size_t>(e)] >= 0) return rows_of_[static_cast<size_t>(e)];
  std::array<uint64_t, kBytes> classes{};
  int n_sets = 0;
  add_firsts(e, classes, n_sets);
  std::array<ExprId, kBytes> fresh{};
  std::vector<std::pair<uint64_t, ExprId>> seen;
  for (size_t b = 0; b < kBytes; ++b) {
    const auto found = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == classes[b]; });
    const bool is_new = found == seen.end();
    fresh[b] = is_new ? derive(e, static_cast<uint8_t>(b)) : found->second;
    if (is_new) seen.emplace_back(classes[b], fresh[b]);
  }
  const auto place = static_cast<int32_t>(rows_.size() / kBytes);
  if (rows_.size() == rows_.capacity()) rows_.reserve(std::max(2 * rows_.size(), kRowsAtFirst * kBytes));
  rows_.insert(rows_.end(), fresh.begin(), fresh.end());
  return rows_of_[static_cast<size_t>(e)] = place;
}

// A text has one way on; a row of 256 would be waste.
ExprId ExprPool::step_slowly(ExprId e, uint8_t byte) {
  const Expr x = at(e);
  if (x.kind == ExprKind::kText || x.kind == ExprKind::kNothing || x.kind == ExprKind::kEpsilon) return derive(e, byte);
  if (x.kind == ExprKind::kConcat && at(x.a).kind == ExprKind::kText) {
    const ExprId first = derive(x.a, byte);
    const ExprId to = first == kNothing ? kNothing : concat(first, x.b);
    return alive(to) ? to : kNothing;
  }
  const auto place = static_cast<size_t>(row(e));
  for (size_t b = 0; b < kBytes; ++b) {
    // alive() may add rows.
    const ExprId to = rows_[place * kBytes + b];
    if (!alive(to)) rows_[place * kBytes + b] = kNothing;
  }
  quick_rows_[static_cast<size_t>(e)] = static_cast<int32_t>(place);
  return rows_[place * kBytes + byte];
}

ExprId ExprPool::step(ExprId e, std::string_view bytes) {
  for (const char c : bytes) {
    if (e == kNothing) break;
    e = step(e, static_cast<uint8_t>(c));
  }
  return e;
}

bool ExprPool::alive(ExprId e) {
  const uint8_t life = life_[static_cast<size_t>(e)];
  return life == kUnknown ? search_alive(e) : life == kAlive;
}

// Breadth first, to the nearest end of a text. The way there is alive; if there is none, all that was seen is dead.
bool ExprPool::search_alive(ExprId e) {
  std::vector<std::pair<ExprId, size_t>> seen = {{e, 0}};  // with the place of the one before
  absl::flat_hash_set<ExprId> met = {e};
  const auto ends = [&](ExprId at) { return nullable(at) || life_[static_cast<size_t>(at)] == kAlive; };
  bool found = ends(e);
  for (size_t i = 0; i < seen.size() && !found; ++i) {
    if (seen.size() > limits_.search_max || failed()) {
      fail("an intersection or a complement in the grammar needs too many states (search_max)");
      return true;
    }
    const auto place = static_cast<size_t>(row(seen[i].first));
    ExprId last = kNothing;
    for (size_t b = 0; b < kBytes && !found; ++b) {
      const ExprId to = rows_[place * kBytes + b];
      if (to == last || to == kNothing || life_[static_cast<size_t>(to)] == kDead) continue;
      last = to;
      if (!met.insert(to).second) continue;
      seen.emplace_back(to, i);
      found = ends(to);
    }
  }
  if (!found) {
    for (const auto& [dead, before] : seen) life_[static_cast<size_t>(dead)] = kDead;
    return false;
  }
  for (size_t back = seen.size() - 1;; back = seen[back].second) {
    life_[static_cast<size_t>(seen[back].first)] = kAlive;
    if (back == 0) return true;
  }
}

void ExprPool::trim() {
  if (rows_.size() <= limits_.rows_max * kBytes) return;
  rows_.clear();
  std::fill(rows_of_.begin(), rows_of_.end(), -1);
  std::fill(quick_rows_.begin(), quick_rows_.end(), -1);
}

}  // namespace polymath::text::grammar
