// Masks over the vocabulary: walks over its trie.

#include <algorithm>
#include <utility>
#include "text/grammar/automaton.h"

namespace polymath::text::grammar {
namespace {

constexpr size_t kSparseMax = 512;  // tokens of a list; more become a bitmap

void set_bit(std::span<uint64_t> words, TokenId id) { words[static_cast<size_t>(id) >> 6] |= uint64_t{1} << (id & 63); }

void clear_bit(std::span<uint64_t> words, TokenId id) {
  words[static_cast<size_t>(id) >> 6] &= ~(uint64_t{1} << (id & 63));
}

// Walks over the subtrees of [begin, end), which are siblings. `step(state, byte)` gives 0 where there is no way on.
// visit(node, state) is called for each node that is reached.
template <typename Step, typename Visit>
void walk(std::span<const TrieNode> nodes, std::pair<uint32_t, uint32_t> range, int32_t state, const Step& step,
          const Visit& visit) {
  std::array<int32_t, Vocabulary::kTokenBytesMax + 1> states;
  if (range.first == range.second) return;
  const size_t top = nodes[range.first].depth;
  states[top - 1] = state;
  for (uint32_t at = range.first; at < range.second;) {
    const TrieNode& node = nodes[at];
    const int32_t to = step(states[node.depth - 1u], node.byte);
    states[node.depth] = to;
    if (to == 0) {
      at = node.end;
      continue;
    }
    visit(at, to);
    ++at;
  }
}

}  // namespace

// The nodes behind an expression's end, before they are sorted by byte.
struct Automaton::Exits {
  std::vector<std::pair<uint8_t, uint32_t>> list;

  void move_to(ExprMask& mask) {
    std::sort(list.begin(), list.end());
    mask.exits.reserve(list.size());
    for (const auto& [byte, node] : list) {
      mask.exits.push_back(node);
      ++mask.exits_from[byte + 1u];
    }
    for (size_t b = 0; b < 256; ++b) mask.exits_from[b + 1] += mask.exits_from[b];
  }
};

void Automaton::add_token(ExprMask& mask, TokenId id) const {
  if (!mask.dense.empty()) return set_bit(mask.dense, id);
  mask.sparse.push_back(id);
  if (mask.sparse.size() <= kSparseMax) return;
  mask.dense.resize((vocabulary_->size() + 63) / 64);
  for (const TokenId each : mask.sparse) set_bit(mask.dense, each);
  mask.sparse = {};
}

// A node that is reached with `expr` left.
void Automaton::enter(uint32_t node, ExprId expr, ExprMask& mask, Exits& exits) {
  const auto nodes = vocabulary_->nodes();
  vocabulary_->each_token(nodes[node], [&](TokenId id) { add_token(mask, id); });
  if (!pool_.nullable(expr)) return;
  vocabulary_->each_child(node, [&](uint32_t child) { exits.list.emplace_back(nodes[child].byte, child); });
}

Automaton::ExprMask Automaton::make_mask(ExprId expr) {
  ExprMask mask;
  Exits exits;
  const auto nodes = vocabulary_->nodes();
  const auto step = [&](ExprId e, uint8_t byte) { return pool_.step(e, byte); };
  walk(nodes, {1u, static_cast<uint32_t>(nodes.size())}, expr, step,
       [&](uint32_t at, ExprId e) { enter(at, e, mask, exits); });
  exits.move_to(mask);
  return mask;
}

Automaton::ExprMask Automaton::make_unit_mask(const UnitHead& head, const UnitTable& table) {
  ExprMask mask;
  Exits exits;
  const int most = head.most == kUnbounded ? table.units_max : head.most;
  mask.dense = table.within[std::min<size_t>(static_cast<size_t>(most), table.within.size() - 1)];
  for (const auto& [n_units, id] : table.longer) {
    if (n_units > most) break;
    set_bit(mask.dense, id);
  }
  const auto nodes = vocabulary_->nodes();
  const auto step = [&](ExprId e, uint8_t byte) { return pool_.step(e, byte); };
  const auto visit = [&](uint32_t at, ExprId e) { enter(at, e, mask, exits); };
  for (size_t byte = 0; byte < 256; ++byte) {
    if (table.leaves[byte].empty()) continue;
    const ExprId rest = pool_.step(head.rest, static_cast<uint8_t>(byte));
    if (rest == kNothing) continue;
    for (const UnitTable::Leave& leave : table.leaves[byte]) {
      if (leave.n_units < head.least || leave.n_units > most) continue;
      visit(leave.node, rest);
      if (rest != kEpsilon) walk(nodes, {leave.node + 1, nodes[leave.node].end}, rest, step, visit);
    }
  }
  exits.move_to(mask);
  return mask;
}

// An expression with a table, which is this one but for some complements. So is a string that must not be one of some
// names. kNothing: there is none.
ExprId Automaton::background_of(ExprId expr) {
  const Expr x = pool_.at(expr);
  if (x.kind == ExprKind::kConcat) {
    const ExprId first = background_of(x.a);
    return first == kNothing ? kNothing : pool_.concat(first, x.b);
  }
  if (x.kind != ExprKind::kAnd) return kNothing;
  const auto inner = pool_.parts(expr);
  const std::vector<ExprId> parts(inner.begin(), inner.end());
  ExprId background = kNothing;
  for (const ExprId part : parts) {
    UnitHead head;
    if (pool_.at(part).kind == ExprKind::kNot) continue;
    if (background != kNothing || !read_unit_head(pool_, part, head) || table_of(head) == nullptr) return kNothing;
    background = part;
  }
  return background;
}

// Walks only where the two differ; elsewhere the background's mask holds.
Automaton::ExprMask Automaton::make_mask_beside(ExprId expr, ExprId background) {
  const ExprMask& known = mask_of(background);
  ExprMask mask;
  mask.dense = known.dense;
  for (const TokenId id : known.sparse) set_bit(mask.dense, id);
  Exits exits;
  const auto nodes = vocabulary_->nodes();
  std::vector<uint64_t> covered((nodes.size() + 63) / 64);  // a bit a node: its exit is not the background's
  const auto cover = [&](uint32_t node) { covered[node >> 6] |= uint64_t{1} << (node & 63); };
  std::vector<std::pair<ExprId, ExprId>> states(vocabulary_->depth_max() + 1);
  states[0] = {expr, background};
  for (uint32_t at = 1; at < nodes.size();) {
    const TrieNode& node = nodes[at];
    const auto [from, beside] = states[node.depth - 1u];
    const ExprId to = pool_.step(from, node.byte), to_beside = pool_.step(beside, node.byte);
    if (to == to_beside) {
      at = node.end;
      continue;
    }
    states[node.depth] = {to, to_beside};
    if (pool_.nullable(to_beside)) vocabulary_->each_child(at, cover);
    if (to != kNothing) {
      enter(at++, to, mask, exits);
      continue;
    }
    for (; at < node.end; ++at) {
      cover(at);
      vocabulary_->each_token(nodes[at], [&](TokenId id) { clear_bit(mask.dense, id); });
    }
  }
  for (const uint32_t node : known.exits) {
    if (((covered[node >> 6] >> (node & 63)) & 1) == 0) exits.list.emplace_back(nodes[node].byte, node);
  }
  exits.move_to(mask);
  return mask;
}

const UnitTable* Automaton::table_of(const UnitHead& head) const {
  const auto known = units_.find(head.unit);
  return known == units_.end() ? nullptr : known->second.get();
}

void Automaton::prepare() {
  const auto n = static_cast<ExprId>(pool_.size());
  int n_made = 0;
  for (ExprId e = 0; e < n && n_made < limits_.unit_tables_max && !failed(); ++e) {
    UnitHead head;
    // Without counts there is one mask to make, and a table is no quicker.
    if (!read_unit_head(pool_, e, head) || head.most <= 1 || units_.contains(head.unit)) continue;
    units_[head.unit] = UnitTable::make(pool_, head.unit, *vocabulary_);
    ++n_made;
  }
  std::vector<uint64_t> words((vocabulary_->size() + 63) / 64);
  if (!failed()) fill(start(), words);
}

const Automaton::ExprMask& Automaton::mask_of(ExprId expr) {
  UnitHead head;
  const UnitTable* table = read_unit_head(pool_, expr, head) ? table_of(head) : nullptr;
  if (table != nullptr) {
    // Counts that no token can tell apart are one.
    head.least = std::min(head.least, table->units_max + 1);
    if (head.most == kUnbounded || head.most > table->units_max) head.most = kUnbounded;
    expr = pool_.concat(pool_.repeat(head.unit, head.least, head.most), head.rest);
  }
  if (const auto known = masks_.find(expr); known != masks_.end()) return *known->second;
  ExprMask fresh;
  if (table != nullptr) {
    fresh = make_unit_mask(head, *table);
  } else {
    const ExprId background = background_of(expr);
    fresh = background == kNothing ? make_mask(expr) : make_mask_beside(expr, background);
  }
  auto& kept = masks_[expr];
  kept = std::make_shared<const ExprMask>(std::move(fresh));
  return *kept;
}

// The tokens below a node whose own bytes are done.
void Automaton::follow(uint32_t node, StateId state, std::span<uint64_t> words) {
  const auto nodes = vocabulary_->nodes();
  const auto add = [&](uint32_t at, StateId) {
    vocabulary_->each_token(nodes[at], [&](TokenId id) { set_bit(words, id); });
  };
  add(node, state);
  const auto step = [&](StateId s, uint8_t byte) { return next(s, byte); };
  walk(nodes, {node + 1, nodes[node].end}, state, step, add);
}

void Automaton::add_mask(const Config& config, std::span<uint64_t> words) {
  const ExprMask& mask = mask_of(config.expr);
  for (size_t w = 0; w < mask.dense.size(); ++w) words[w] |= mask.dense[w];
  for (const TokenId id : mask.sparse) set_bit(words, id);
  if (mask.exits.empty() || config.stack == 0) return;
  const StateId outside = intern(pop(config.stack));
  if (outside == 0) return;
  for (size_t byte = 0; byte < 256; ++byte) {
    const uint32_t from = mask.exits_from[byte], to = mask.exits_from[byte + 1];
    if (from == to) continue;
    const StateId state = next(outside, static_cast<uint8_t>(byte));
    for (uint32_t i = from; i < to && state != 0; ++i) follow(mask.exits[i], state, words);
  }
}

void Automaton::fill(const Configs& at, std::span<uint64_t> words) {
  trim();
  const StateId state = intern(at);
  if (state == 0) return;
  if (states_[static_cast<size_t>(state)].mask == nullptr) {
    auto fresh = std::make_unique<std::vector<uint64_t>>((vocabulary_->size() + 63) / 64);
    for (const Config& config : at.list) add_mask(config, *fresh);
    if (failed()) return;
    ++n_masks_;
    states_[static_cast<size_t>(state)].mask = std::move(fresh);
  }
  const std::vector<uint64_t>& mask = *states_[static_cast<size_t>(state)].mask;
  const size_t n = std::min(words.size(), mask.size());
  for (size_t w = 0; w < n; ++w) words[w] |= mask[w];
}

}  // namespace polymath::text::grammar
