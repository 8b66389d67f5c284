#pragma once

// Ids, one at a time -> text in whole UTF-8, and the stop strings.
//
//   Detokenizer d(tokenizer, prompt_ids, {.stop = {"\n\n"}});
//   auto delta = d.push(id);      // "", or text that will not change any more
//   if (d.stopped()) ...          // a stop string was met; delta ends before it
//   auto rest = d.finish();       // what was held back
//
// Text is held back while it could still be part of a stop string, or while a character is incomplete.
// All deltas together equal Tokenizer::decode of all ids, cut at the stop string. Behind a prompt they equal what the
// ids add to the prompt's decode. The stop string that ends first wins, then the longest.
// Cost is constant a token: a short window of ids is decoded again, never the whole answer.
// Thread safety: none; one answer owns one.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace polymath::text {

struct DetokenizerOptions {
  std::vector<std::string> stop;  // empty strings are ignored
  bool include_stop = false;      // the delta keeps the stop string
  bool skip_special = true;
  std::vector<TokenId> shown;  // special ids that stay although skip_special holds
};

class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, std::span<const TokenId> prompt, DetokenizerOptions options);

  std::string push(TokenId id);
  std::string finish();
  bool stopped() const { return !stop_met_.empty(); }
  const std::string& stop_met() const { return stop_met_; }  // which stop string; empty: none

 private:
  bool is_skipped(TokenId id) const;
  std::string decode(std::span<const TokenId> ids) const;
  std::string release(std::string_view fresh);
  bool shorten_window(size_t held);
  void drop_silent_id(std::string_view text);

  const Tokenizer& tokenizer_;
  DetokenizerOptions options_;
  std::vector<StopMatcher> stops_;
  std::vector<TokenId> window_;  // the last ids, those of the prompt at first
  size_t emitted_bytes_ = 0;     // of decode(window_): given to release() already
  std::string pending_;          // decoded, but could be the beginning of a stop string
  std::string stop_met_;
};

}  // namespace polymath::text
