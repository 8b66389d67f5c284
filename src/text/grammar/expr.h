#pragma once

// Languages over bytes as expressions, each kept once.
//
//   ExprId word = pool.concat(pool.text("\""), pool.repeat(letter, 1, 10));
//   ExprId rest = pool.step(word, '"');     // what may follow the byte; kNothing: nothing
//   pool.nullable(rest);                    // whether the text may end here
//
// An expression is regular unless it names a rule. Regular ones have derivatives (step), intersections and complements.
// A derivative is an expression again. So a state of the automaton is an id, made when it is first met. A counted
// repeat counts in its bounds: nothing is unrolled.
//
// Every regular expression but kNothing has a text. `step` finds dead ends of intersections by search, and returns
// kNothing for them. So a text that was accepted so far can always be completed.
//
// Thread safety: none. Sources: Brzozowski, "Derivatives of regular expressions", JACM 1964; Owens, Reppy, Turon,
// "Regular-expression derivatives re-examined", JFP 2009.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "text/grammar/byte_set.h"
#include "text/grammar/spec.h"

namespace polymath::text::grammar {

using ExprId = int32_t;
inline constexpr ExprId kNothing = 0;  // no text at all
inline constexpr ExprId kEpsilon = 1;  // the empty text
inline constexpr int kUnbounded = -1;

enum class ExprKind : uint8_t {
  kNothing,
  kEpsilon,
  kBytes,   // a: index of a ByteSet
  kText,    // a: begin in the pool's bytes; b: length
  kConcat,  // a, b
  kAlt,     // a: begin in the pool's lists; b: count
  kAnd,     // likewise
  kNot,     // a
  kRepeat,  // a; b: least, c: most, or kUnbounded
  kRule,    // a: the rule
  kDfa,     // a: the automaton; b: its state
  kCount,
};

struct Expr {
  ExprKind kind = ExprKind::kNothing;
  bool nullable = false;  // of a regular one
  bool regular = true;
  bool narrows = false;  // has an intersection or a complement, so it may have no text
  int32_t a = 0, b = 0, c = 0;
};

// An explicit automaton: `next` has 256 entries a state; -1: none. From every state an accepting one can be reached.
struct Dfa {
  std::vector<int32_t> next;
  std::vector<uint8_t> accepts;  // of each state
  int n_states() const { return static_cast<int>(accepts.size()); }
};

class ExprPool {
 public:
  explicit ExprPool(const ExprLimits& limits);

  ExprId bytes(const ByteSet& set);
  ExprId text(std::string_view text);
  ExprId concat(ExprId a, ExprId b);
  ExprId concat(std::initializer_list<ExprId> parts);
  ExprId alt(std::vector<ExprId> parts);
  ExprId both(std::vector<ExprId> parts);  // intersection. REQUIRES: regular
  ExprId inverse(ExprId a);                // every other string of bytes. REQUIRES: regular
  ExprId repeat(ExprId a, int least, int most);
  ExprId optional(ExprId a) { return alt({kEpsilon, a}); }
  // Trims the automaton: states that reach no accepting one go. kNothing: none is left.
  ExprId dfa(const Dfa& dfa, int state);
  // One of these texts. A tree by common prefixes, so that thousands cost little.
  ExprId any_of(std::vector<std::string> texts);

  int new_rule();
  void set_rule(int rule, ExprId body) { rules_[static_cast<size_t>(rule)] = body; }
  ExprId rule_body(int rule) const { return rules_[static_cast<size_t>(rule)]; }
  ExprId rule(int rule);
  int n_rules() const { return static_cast<int>(rules_.size()); }

  const Expr& at(ExprId e) const { return exprs_[static_cast<size_t>(e)]; }
  bool nullable(ExprId e) const { return at(e).nullable; }
  bool regular(ExprId e) const { return at(e).regular; }
  std::span<const ExprId> parts(ExprId e) const;  // of kAlt and kAnd
  std::string_view text_of(ExprId e) const;       // of kText

  // The derivative by one byte. REQUIRES: regular.
  ExprId step(ExprId e, uint8_t byte) {
    const int32_t row = quick_rows_[static_cast<size_t>(e)];
    return row >= 0 ? rows_[static_cast<size_t>(row) * kBytes + byte] : step_slowly(e, byte);
  }
  ExprId step(ExprId e, std::string_view bytes);
  bool alive(ExprId e);  // false: no text. REQUIRES: regular
  bool matches(ExprId e, std::string_view text) { return nullable(step(e, text)); }

  // A limit was met: results are no longer right. The sentence names the limit.
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  void fail(std::string_view sentence) {
    if (failure_.empty()) failure_ = sentence;
  }
  size_t size() const { return exprs_.size(); }
  void trim();  // forgets cached transitions beyond the limit

 private:
  static constexpr size_t kBytes = 256;  // entries of a row
  struct Key {
    ExprKind kind;
    int32_t a, b, c;
    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& k) {
      return H::combine(std::move(h), k.kind, k.a, k.b, k.c);
    }
  };

  ExprId intern(const Expr& expr);
  ExprId list(ExprKind kind, std::vector<ExprId> parts);
  ExprId any_of_sorted(std::span<const std::string> texts, size_t depth);
  ExprId derive(ExprId e, uint8_t byte);
  ExprId step_slowly(ExprId e, uint8_t byte);
  int32_t row(ExprId e);
  void add_firsts(ExprId e, std::array<uint64_t, 256>& classes, int& n_sets) const;
  bool search_alive(ExprId e);

  ExprLimits limits_;
  std::string failure_;
  std::vector<Expr> exprs_;
  std::vector<uint8_t> life_;        // of each expression; see Life in derive.cpp
  std::vector<int32_t> rows_of_;     // of each expression: its row of derivatives; -1: none yet
  std::vector<int32_t> quick_rows_;  // the same, once dead ends are out of the row
  std::vector<ExprId> rows_;
  std::vector<ByteSet> sets_;
  std::vector<ExprId> lists_;
  std::string texts_;
  std::vector<Dfa> dfas_;
  std::vector<ExprId> rules_;
  absl::flat_hash_map<Key, ExprId> ids_;
  absl::flat_hash_map<std::array<uint64_t, 4>, int32_t> set_ids_;
  absl::flat_hash_map<std::vector<ExprId>, int32_t> list_ids_;
  absl::flat_hash_map<std::string, int32_t> text_ids_;
};

}  // namespace polymath::text::grammar
