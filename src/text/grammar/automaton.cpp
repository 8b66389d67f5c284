#include "text/grammar/automaton.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace polymath::text::grammar {

// Collects the configurations that an expression on a stack stands for.
struct Automaton::Expansion {
  struct Task {
    ExprId expr;
    int32_t stack;
    bool operator==(const Task&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Task& t) {
      return H::combine(std::move(h), t.expr, t.stack);
    }
  };
  Configs configs;
  std::vector<Task> open;
  absl::flat_hash_map<Task, bool> seen;  // only where a rule or an alternative was met
  size_t n_looked_at = 0;

  Configs take() {
    auto& list = configs.list;
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    return std::move(configs);
  }
};

Automaton::Automaton(ExprPool pool, ExprId root, std::shared_ptr<const Vocabulary> vocabulary,
                     const AutomatonLimits& limits)
    : pool_(std::move(pool)),
      root_(root),
      vocabulary_(std::move(vocabulary)),
      limits_(limits),
      exprs_worn_(pool_.size() + ExprLimits{}.exprs_max / 2),
      stacks_{{kNothing, 0}} {
  states_.push_back({});
  state_ids_[Configs{}] = 0;
  const auto units = standard_units(pool_);
  for (size_t i = 0; i < units.size(); ++i) units_[units[i]] = vocabulary_->unit_tables()[i];
}

int32_t Automaton::push(ExprId expr, int32_t below) {
  if (expr == kEpsilon) return below;
  const auto [at, is_new] = stack_ids_.try_emplace({expr, below}, static_cast<int32_t>(stacks_.size()));
  if (!is_new) return at->second;
  if (stacks_.size() >= limits_.stacks_max) pool_.fail("the grammar's rules are too deep in each other (stacks_max)");
  stacks_.push_back({expr, below});
  return at->second;
}

// Takes apart what is irregular, down to regular expressions on their stacks.
void Automaton::expand(Expansion& out, ExprId expr, int32_t stack) {
  out.open.push_back({expr, stack});
  while (!out.open.empty() && !failed()) {
    const auto [e, below] = out.open.back();
    out.open.pop_back();
    const Expr x = pool_.at(e);
    if (++out.n_looked_at > limits_.expand_max || out.configs.list.size() > limits_.configs_max) {
      return pool_.fail("the grammar is too ambiguous, or calls rules without end (expand_max, configs_max)");
    }
    const auto leave = [&, below = below] {
      if (below == 0) {
        out.configs.may_end = true;
      } else {
        out.open.push_back({stacks_[static_cast<size_t>(below)].expr, stacks_[static_cast<size_t>(below)].below});
      }
    };
    if (x.regular) {
      if (e != kEpsilon && pool_.alive(e)) out.configs.list.push_back({e, below});
      if (x.nullable) leave();
      continue;
    }
    if (!out.seen.try_emplace({e, below}, true).second) continue;
    switch (x.kind) {
      case ExprKind::kConcat:
        out.open.push_back({x.a, push(x.b, below)});
        break;
      case ExprKind::kAlt:
        for (const ExprId part : pool_.parts(e)) out.open.push_back({part, below});
        break;
      case ExprKind::kRule:
        out.open.push_back({pool_.rule_body(x.a), below});
        break;
      case ExprKind::kRepeat: {
        const int most = x.c == kUnbounded ? kUnbounded : x.c - 1;
        if (x.b == 0) leave();
        const ExprId more = pool_.repeat(x.a, std::max(0, x.b - 1), most);
        out.open.push_back({x.a, push(more, below)});
        break;
      }
      default:
        CHECK(false);
    }
  }
}

Automaton::StateId Automaton::intern(Configs configs) {
  if (configs.dead() || failed()) return 0;
  const auto [at, is_new] = state_ids_.try_emplace(std::move(configs), static_cast<StateId>(states_.size()));
  if (is_new) {
    states_.push_back({});
    states_.back().configs = at->first;
  }
  return at->second;
}

Configs Automaton::pop(int32_t stack) {
  Expansion out;
  expand(out, kEpsilon, stack);
  return out.take();
}

Automaton::StateId Automaton::next(StateId from, uint8_t byte) {
  auto& row = states_[static_cast<size_t>(from)].next;
  if (row == nullptr) {
    row = std::make_unique<std::array<StateId, 256>>();
    row->fill(-1);
  }
  const StateId known = (*row)[byte];
  if (known >= 0) return known;
  Expansion out;
  const std::vector<Config> list = states_[static_cast<size_t>(from)].configs.list;
  for (const Config& config : list) {
    const ExprId to = pool_.step(config.expr, byte);
    if (to != kNothing) expand(out, to, config.stack);
  }
  const StateId id = intern(out.take());
  (*states_[static_cast<size_t>(from)].next)[byte] = id;
  return id;
}

void Automaton::trim() {
  pool_.trim();
  if (masks_.size() > limits_.expr_masks_max) masks_.clear();
  if (states_.size() <= limits_.states_max && n_masks_ <= limits_.masks_max) return;
  states_.resize(1);
  state_ids_.clear();
  n_masks_ = 0;
}

Configs Automaton::start() {
  Expansion out;
  expand(out, root_, 0);
  return out.take();
}

Configs Automaton::step(const Configs& from, std::string_view bytes) {
  trim();
  StateId state = intern(from);
  for (const char c : bytes) {
    if (state == 0) break;
    state = next(state, static_cast<uint8_t>(c));
  }
  return failed() ? Configs{} : states_[static_cast<size_t>(state)].configs;
}

std::string Automaton::forced(const Configs& from, size_t bytes_max) {
  trim();
  std::string bytes;
  StateId state = intern(from);
  while (state != 0 && bytes.size() < bytes_max && !states_[static_cast<size_t>(state)].configs.may_end) {
    int only = -1;
    StateId to = 0;
    for (int b = 0; b < 256; ++b) {
      const StateId reached = next(state, static_cast<uint8_t>(b));
      if (reached == 0) continue;
      if (only >= 0) return bytes;
      only = b;
      to = reached;
    }
    if (only < 0) break;
    bytes += static_cast<char>(only);
    state = to;
  }
  return bytes;
}

}  // namespace polymath::text::grammar
