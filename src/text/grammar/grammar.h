#pragma once

// Structured output: which tokens may come next, so that a text keeps to a grammar.
//
//   ASSIGN_OR_RETURN(auto grammar, compile({Language::kJsonSchema, schema_text}, vocabulary, {}));
//   Matcher matcher(grammar);                     // one a sequence; copy it to look ahead, assign the copy to go back
//   matcher.fill(words);                          // clears the bits of ids that may not come next
//   if (!matcher.accept(id)) ...                  // false: not allowed; the matcher stays as it was
//
// Every language becomes expressions and rules (expr.h), then one automaton (automaton.h). What a front end cannot hold
// exactly, it refuses by name: no grammar allows more or less than it says. docs/internals/grammar.md lists each
// language.
//
// Thread safety: compile() may run on any thread. Matchers of one grammar share its caches under a lock; a matcher
// itself belongs to one thread at a time.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/grammar/automaton.h"
#include "text/grammar/vocabulary.h"

namespace polymath::text::grammar {

class Grammar {
 public:
  Grammar(ExprPool pool, ExprId root, std::shared_ptr<const Vocabulary> vocabulary, const AutomatonLimits& limits)
      : automaton_(std::move(pool), root, std::move(vocabulary), limits) {
    automaton_.prepare();
  }
  bool worn() const;  // its caches near their limits: compile it anew

 private:
  friend class Matcher;
  mutable std::mutex mutex_;
  Automaton automaton_;
};

// kInvalidArgument: the source is wrong, too large, or nothing satisfies it. kUnimplemented: a feature, by name.
absl::StatusOr<std::shared_ptr<Grammar>> compile(Spec spec, std::shared_ptr<const Vocabulary> vocabulary,
                                                 const GrammarLimits& limits);

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Grammar> grammar);

  // False: not allowed here; nothing changes. An end id is allowed where the text may end, and changes nothing.
  bool accept(TokenId id);
  bool accept_bytes(std::string_view bytes);
  // Clears bit i of `allowed` where id i may not come next. `allowed`: at least a bit for each id, all ones at first.
  void fill(std::span<uint64_t> allowed);
  bool may_end() const { return at_.may_end; }
  bool must_end() const { return at_.may_end && at_.list.empty(); }
  // The bytes that must come next. Empty: there is a choice, or the text may end here.
  std::string forced_bytes(size_t bytes_max = 256);
  // What the id adds to a text; empty: no grammar allows it.
  std::string_view bytes_of(TokenId id) const { return grammar_->automaton_.vocabulary().bytes(id); }
  // A sentence: a limit was met, and no id is allowed any more. Empty: all is well.
  std::string failure() const;

 private:
  std::shared_ptr<Grammar> grammar_;
  Configs at_;
};

}  // namespace polymath::text::grammar
