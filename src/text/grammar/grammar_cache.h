#pragma once

// The grammars of a model's requests, each compiled once while it is in use or was lately.
//
//   GrammarCache cache(tokenizer, vocab, eos_ids, {});
//   ASSIGN_OR_RETURN(auto grammar, cache.get({Language::kJsonSchema, schema}));
//
// The vocabulary's trie is made at the first use, on the caller's thread. Equal sources share a grammar and its masks.
// Thread safety: any thread may call anything; compiling holds no lock.

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "text/grammar/spec.h"
#include "text/tokenizer.h"

namespace polymath::text::grammar {

class GrammarCache {
 public:
  static constexpr size_t kGrammarsMax = 64;  // kept; more: the least recently used one goes

  // `vocab`: ids are below it. `end_ids`: allowed where a grammar may end.
  GrammarCache(std::shared_ptr<const Tokenizer> tokenizer, size_t vocab, std::vector<TokenId> end_ids,
               const GrammarLimits& limits);

  // Errors as of compile().
  absl::StatusOr<std::shared_ptr<Grammar>> get(const Spec& spec);
  std::shared_ptr<const Vocabulary> vocabulary();
  const GrammarLimits& limits() const { return limits_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<Grammar> grammar;
  };
  std::shared_ptr<Grammar> find(const std::string& key);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const size_t vocab_;
  const std::vector<TokenId> end_ids_;
  const GrammarLimits limits_;
  std::once_flag made_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;
  std::list<Entry> entries_;                                             // under mutex_; the last used first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> places_;  // under mutex_
};

}  // namespace polymath::text::grammar
