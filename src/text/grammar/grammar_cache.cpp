#include "text/grammar/grammar_cache.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "text/grammar/grammar.h"

namespace polymath::text::grammar {
namespace {

std::string key_of(const Spec& spec) {
  const Preamble& preamble = spec.preamble;
  std::string key =
      absl::StrCat(static_cast<int>(spec.language), " ", preamble.inside, preamble.is_harmony, preamble.is_final);
  for (const auto& texts :
       {preamble.begins, preamble.ends, preamble.removed, std::vector<std::string>{spec.whitespace}}) {
    for (const std::string& text : texts) absl::StrAppend(&key, " ", text.size(), " ", text);
    key.push_back(';');
  }
  return key + spec.source;
}

}  // namespace

GrammarCache::GrammarCache(std::shared_ptr<const Tokenizer> tokenizer, size_t vocab, std::vector<TokenId> end_ids,
                           const GrammarLimits& limits)
    : tokenizer_(std::move(tokenizer)), vocab_(vocab), end_ids_(std::move(end_ids)), limits_(limits) {}

std::shared_ptr<const Vocabulary> GrammarCache::vocabulary() {
  std::call_once(made_, [&] { vocabulary_ = Vocabulary::make(*tokenizer_, vocab_, end_ids_); });
  return vocabulary_;
}

// Null: not there, or due to be made anew.
std::shared_ptr<Grammar> GrammarCache::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(key);
  if (place == places_.end()) return nullptr;
  if (place->second->grammar->worn()) {
    entries_.erase(place->second);
    places_.erase(place);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, place->second);
  return entries_.front().grammar;
}

absl::StatusOr<std::shared_ptr<Grammar>> GrammarCache::get(const Spec& spec) {
  const std::string key = key_of(spec);
  if (auto known = find(key); known != nullptr) return known;
  ASSIGN_OR_RETURN(std::shared_ptr<Grammar> grammar, compile(spec, vocabulary(), limits_));
  const std::lock_guard lock(mutex_);
  // Two threads may have compiled one source: the first one's grammar stays.
  if (const auto place = places_.find(key); place != places_.end()) return place->second->grammar;
  entries_.push_front({key, grammar});
  places_[key] = entries_.begin();
  if (entries_.size() > kGrammarsMax) {
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }
  return grammar;
}

}  // namespace polymath::text::grammar
