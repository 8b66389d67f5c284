#include "text/grammar/units.h"

#include <algorithm>

#include "text/grammar/code_points.h"

namespace polymath::text::grammar {
namespace {

void set_bit(std::vector<uint64_t>& words, TokenId id) {
  words[static_cast<size_t>(id) >> 6] |= uint64_t{1} << (id & 63);
}

// A place in a text: behind `n_units` whole units, and within the next one unless `unit` is kEpsilon.
struct Place {
  ExprId unit = kEpsilon;
  int n_units = 0;
};

// The tokens of each number of units, and what leaves them. False: units are no prefix code.
bool scan(ExprPool& pool, ExprId unit, const Vocabulary& vocabulary, UnitTable& table,
          std::vector<std::vector<TokenId>>& needs) {
  const auto nodes = vocabulary.nodes();
  std::vector<Place> places(vocabulary.depth_max() + 1);
  for (uint32_t at = 1; at < nodes.size();) {
    const TrieNode& node = nodes[at];
    const Place& from = places[node.depth - 1u];
    const bool whole = from.unit == kEpsilon;
    const ExprId to = pool.step(whole ? unit : from.unit, node.byte);
    if (to == kNothing) {
      if (whole) table.leaves[node.byte].push_back({at, from.n_units});
      at = node.end;
      continue;
    }
    if (to != kEpsilon && pool.nullable(to)) return false;
    places[node.depth] = {to, from.n_units + (to == kEpsilon ? 1 : 0)};
    vocabulary.each_token(node, [&](TokenId id) { needs[static_cast<size_t>(from.n_units) + 1].push_back(id); });
    ++at;
  }
  return true;
}

}  // namespace

std::shared_ptr<const UnitTable> UnitTable::make(ExprPool& pool, ExprId unit, const Vocabulary& vocabulary) {
  auto table = std::make_shared<UnitTable>();
  std::vector<std::vector<TokenId>> needs(vocabulary.depth_max() + 1);  // the tokens of each number of units
  if (pool.nullable(unit) || !scan(pool, unit, vocabulary, *table, needs)) return nullptr;
  while (needs.size() > 1 && needs.back().empty()) needs.pop_back();
  table->units_max = static_cast<int>(needs.size()) - 1;
  std::vector<uint64_t> words((vocabulary.size() + 63) / 64);
  for (int k = 0; k <= table->units_max; ++k) {
    for (const TokenId id : needs[static_cast<size_t>(k)]) {
      if (k <= kDenseMax) {
        set_bit(words, id);
      } else {
        table->longer.emplace_back(k, id);
      }
    }
    if (k <= kDenseMax) table->within.push_back(words);
  }
  return table;
}

bool read_unit_head(ExprPool& pool, ExprId e, UnitHead& out) {
  const Expr x = pool.at(e);
  if (x.kind != ExprKind::kConcat || !x.regular || pool.nullable(x.b)) return false;
  const Expr repeat = pool.at(x.a);
  if (repeat.kind != ExprKind::kRepeat || repeat.narrows || pool.nullable(repeat.a)) return false;
  for (int b = 0; b < 256; ++b) {
    const auto byte = static_cast<uint8_t>(b);
    if (pool.step(repeat.a, byte) != kNothing && pool.step(x.b, byte) != kNothing) return false;
  }
  out = {repeat.a, x.b, repeat.b, repeat.c};
  return true;
}

std::array<ExprId, 2> standard_units(ExprPool& pool) {
  return {any_json_char(pool), json_char_of(pool, CodePoints::all())};
}

}  // namespace polymath::text::grammar
