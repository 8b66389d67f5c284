#pragma once

// A grammar's pushdown automaton over bytes, determinized as it is used, and its masks over a vocabulary.
//
// A configuration is what is still to be written of the innermost rule, and a stack of what follows it. A state is the
// set of all configurations that the bytes so far allow. Stacks share their tails. States, stacks and expressions are
// kept once, so a state is an id.
//
// Masks: for an expression alone, the tokens that stay within it are found once by a walk over the trie. Only a token
// that leaves the expression is followed in the stack's context.
//
// Thread safety: none; text/grammar/grammar.h has the lock.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "text/grammar/expr.h"
#include "text/grammar/units.h"
#include "text/grammar/vocabulary.h"

namespace polymath::text::grammar {

struct Config {
  ExprId expr = kNothing;  // regular, not kEpsilon
  int32_t stack = 0;       // 0: empty
  bool operator==(const Config&) const = default;
  auto operator<=>(const Config&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Config& c) {
    return H::combine(std::move(h), c.expr, c.stack);
  }
};

// Sorted, without repeats.
struct Configs {
  std::vector<Config> list;
  bool may_end = false;
  bool operator==(const Configs&) const = default;
  bool dead() const { return list.empty() && !may_end; }
  template <typename H>
  friend H AbslHashValue(H h, const Configs& c) {
    return H::combine(std::move(h), c.list, c.may_end);
  }
};

class Automaton {
 public:
  Automaton(ExprPool pool, ExprId root, std::shared_ptr<const Vocabulary> vocabulary, const AutomatonLimits& limits);

  // Makes what masks will need, so that the first ones are as quick as later ones.
  void prepare();
  Configs start();
  Configs step(const Configs& from, std::string_view bytes);  // dead(): the bytes are not allowed
  // Sets the bits of the tokens that may come next, in words that are zero at first. Not those of ends.
  void fill(const Configs& at, std::span<uint64_t> words);
  // The bytes that must come next, up to `bytes_max`. Empty: there is a choice, or the text may end.
  std::string forced(const Configs& from, size_t bytes_max);

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  bool failed() const { return pool_.failed(); }
  const std::string& failure() const { return pool_.failure(); }
  // More than half of a limit that only ever grows is used. A new automaton should take the place of this one.
  bool worn() const { return pool_.size() * 2 > exprs_worn_ || stacks_.size() * 2 > limits_.stacks_max; }

 private:
  using StateId = int32_t;  // 0: dead
  struct Cell {             // of a stack
    ExprId expr;
    int32_t below;
  };
  struct State {
    Configs configs;
    std::unique_ptr<std::array<StateId, 256>> next;  // -1: not known yet
    std::unique_ptr<std::vector<uint64_t>> mask;
  };
  // Tokens within one expression, wherever it is used.
  struct ExprMask {
    std::vector<uint64_t> dense;  // a bit a token; empty: `sparse` has them
    std::vector<TokenId> sparse;
    // Trie nodes behind an end of the expression, by their byte. A token may go on there, in the stack's context.
    std::vector<uint32_t> exits;
    std::array<uint32_t, 257> exits_from{};  // of each byte: its first in `exits`
  };
  struct Expansion;

  StateId intern(Configs configs);
  int32_t push(ExprId expr, int32_t below);
  void expand(Expansion& out, ExprId expr, int32_t stack);
  Configs pop(int32_t stack);
  StateId next(StateId from, uint8_t byte);
  void trim();
  struct Exits;
  const ExprMask& mask_of(ExprId expr);
  ExprMask make_mask(ExprId expr);
  ExprMask make_unit_mask(const UnitHead& head, const UnitTable& table);
  ExprId background_of(ExprId expr);
  ExprMask make_mask_beside(ExprId expr, ExprId background);
  void add_token(ExprMask& mask, TokenId id) const;
  void enter(uint32_t node, ExprId expr, ExprMask& mask, Exits& exits);
  const UnitTable* table_of(const UnitHead& head) const;
  void add_mask(const Config& config, std::span<uint64_t> words);
  void follow(uint32_t node, StateId state, std::span<uint64_t> words);

  ExprPool pool_;
  const ExprId root_;
  const std::shared_ptr<const Vocabulary> vocabulary_;
  const AutomatonLimits limits_;
  const size_t exprs_worn_;
  std::vector<Cell> stacks_;
  absl::flat_hash_map<std::pair<ExprId, int32_t>, int32_t> stack_ids_;
  std::vector<State> states_;
  absl::flat_hash_map<Configs, StateId> state_ids_;
  size_t n_masks_ = 0;
  absl::flat_hash_map<ExprId, std::shared_ptr<const ExprMask>> masks_;
  absl::flat_hash_map<ExprId, std::shared_ptr<const UnitTable>> units_;
};

}  // namespace polymath::text::grammar
