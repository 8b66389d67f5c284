#pragma once

// The vocabulary as seen by a repeat of one unit: the characters of a string, mostly.
//
// Whether a token fits into `unit{least,most} rest` depends on its number of units, not on the rest of the grammar. So
// a table of the vocabulary serves every count. Without it each count of a bounded string would need a walk over the
// whole trie.
//
// Thread safety: const after construction.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "text/grammar/expr.h"
#include "text/grammar/vocabulary.h"

namespace polymath::text::grammar {

struct UnitTable {
  static constexpr int kDenseMax = 24;  // units; longer tokens are in a list

  struct Leave {  // a trie node whose byte begins no unit, behind whole units
    uint32_t node = 0;
    int n_units = 0;
  };
  // within[k]: a bit for each token that lies within k units, the last of which may be unfinished.
  std::vector<std::vector<uint64_t>> within;
  std::vector<std::pair<int, TokenId>> longer;  // units that a token needs, beyond kDenseMax; sorted
  std::array<std::vector<Leave>, 256> leaves;   // by byte
  int units_max = 0;                            // of a token

  // Null: a unit may begin with another one, so the count is not known from the text. REQUIRES: regular.
  static std::shared_ptr<const UnitTable> make(ExprPool& pool, ExprId unit, const Vocabulary& vocabulary);
};

// A repeat that a table can serve: the rest begins with no byte of a unit, and is not empty.
struct UnitHead {
  ExprId unit = kNothing, rest = kNothing;
  int least = 0, most = 0;
};
bool read_unit_head(ExprPool& pool, ExprId e, UnitHead& out);

// The units of JSON strings: those of JsonText and those of json_char_of. Every vocabulary has their tables.
std::array<ExprId, 2> standard_units(ExprPool& pool);

}  // namespace polymath::text::grammar
