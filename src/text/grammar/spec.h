#pragma once

// What a grammar is compiled from, and the limits of it.

#include <cstddef>
#include <string>

namespace polymath::text::grammar {

class Grammar;     // text/grammar/grammar.h
class Vocabulary;  // text/grammar/vocabulary.h

enum class Language {
  kJsonObject,     // any JSON object; `source` is empty
  kJsonSchema,     // draft 2020-12, as JSON text
  kRegex,          // the whole text matches it
  kEbnf,           // GBNF, with `root` as its first rule
  kChoices,        // a JSON array of strings
  kStructuralTag,  // {"triggers": [...], "structures": [{"begin", "schema", "end"}]}, or {"format": {...}}
  kCount,
};

struct Spec {
  Language language = Language::kJsonObject;
  std::string source;
  std::string whitespace = {};  // JSON: a regular expression of the blanks between tokens; empty: the default
};

struct ExprLimits {
  size_t exprs_max = 400'000;    // more: failed()
  size_t lists_max = 4'000'000;  // entries of alternatives and intersections; more: failed()
  size_t search_max = 20'000;    // expressions that one search for a dead end looks at; more: failed()
  size_t rows_max = 24'000;      // cached transitions, 1 KiB each; more: the cache begins anew
};

struct AutomatonLimits {
  size_t configs_max = 4096;    // of a state; more: failed()
  size_t expand_max = 65'536;   // expressions looked at for one byte; more: failed()
  size_t stacks_max = 400'000;  // more: failed()
  size_t states_max = 8192;     // cached, with up to 1 KiB each; more: the cache begins anew
  size_t masks_max = 64;        // cached, a bit a token; more: the cache begins anew
  size_t expr_masks_max = 256;  // likewise
  int unit_tables_max = 8;      // beside the vocabulary's; made by prepare()
};

struct GrammarLimits {
  size_t source_bytes_max = 1u << 20;  // of a source; longer: kInvalidArgument
  size_t pattern_bytes_max = 4096;     // of a regular expression; longer: kInvalidArgument
  int depth_max = 64;                  // nesting of a source; deeper: kInvalidArgument
  int rules_max = 20'000;              // more: kInvalidArgument
  int choices_max = 20'000;            // of one enum or list; more: kInvalidArgument
  int branches_max = 256;              // of anyOf, oneOf and types, multiplied out; more: kInvalidArgument
  int repeat_max = 1'000'000;          // a count in a repeat, maxLength, maxItems; more: kInvalidArgument
  ExprLimits exprs;
  AutomatonLimits automaton;
};

}  // namespace polymath::text::grammar
