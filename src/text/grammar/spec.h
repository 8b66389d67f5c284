#pragma once

// What a grammar is compiled from, and the limits of it.

#include <cstddef>
#include <string>
#include <vector>

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

// Reasoning that the model may write before the grammar's text, and marks around that text.
struct Preamble {
  std::vector<std::string> begins;   // a reasoning begins with one of these
  std::vector<std::string> ends;     // and ends with the first of these; empty: no reasoning is written
  std::vector<std::string> removed;  // two marks: before and behind the text; the model writes both or none
  bool inside = false;               // the reasoning has begun
  bool is_harmony = false;           // gpt-oss's channels; begins, ends, removed and inside are not read
  bool is_final = true;              // is_harmony: the text is of the final message; else it begins with a header
  bool is_none() const { return ends.empty() && removed.empty() && !is_harmony; }
};

struct Spec {
  Language language = Language::kJsonObject;
  std::string source;
  std::string whitespace = {};  // JSON: a regular expression of the blanks between tokens; empty: the default
  Preamble preamble = {};
  std::vector<std::string> specials = {};  // set by compile(): texts of special tokens, the longer ones first
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
