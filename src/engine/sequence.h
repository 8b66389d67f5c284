#pragma once

// A request as the scheduler sees it: tokens, and the KV blocks under them.
//
//   0 <= computed_len <= length() <= token_len_max        length() = token_len() + n_unknown
//
// The KV of tokens before computed_len is in the blocks, for every step started from now on. The others must still go
// through the model. A preempted sequence has computed_len 0. It computes prompt and output again, as a longer prompt.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "kvcache/prefix_cache.h"

namespace polymath::engine {

struct Sequence {
  // Reserves for its whole life, so that the engine thread allocates nothing. REQUIRES: a prompt.
  Sequence(std::vector<int32_t> prompt, int token_len_max, int block_size)
      : tokens(std::move(prompt)),
        prompt_len(static_cast<int>(tokens.size())),
        prefill_len(prompt_len),
        token_len_max(token_len_max),
        logits_from(prompt_len - 1) {
    tokens.reserve(token_len_max);
    blocks.reserve(token_len_max / block_size + 1);
    digests.reserve(token_len_max / block_size + 1);
  }

  // Names the prompt's full blocks for the prefix cache. Runs on the caller's thread: a long prompt takes milliseconds.
  void hash_prompt(kvcache::BlockHasher& hasher, std::string_view salt, int block_size) {
    root = hasher.root(salt, adapter);
    for (int at = 0; at + block_size <= prompt_len; at += block_size) {
      const std::span<const int32_t> block(tokens.data() + at, block_size);
      digests.push_back(hasher.next(digests.empty() ? root : digests.back(), block));
    }
  }

  int token_len() const { return static_cast<int>(tokens.size()); }
  int length() const { return token_len() + n_unknown; }
  // Tokens that can go through the model by now. The last token of all never does.
  int computable_len() const { return std::min(length(), token_len_max - 1); }
  int remaining() const { return computable_len() - computed_len; }
  // A decode: the prefill is done, and there is a token to compute.
  bool decodes() const { return computed_len >= prefill_len && remaining() > 0; }
  std::span<const int32_t> prompt() const { return std::span(tokens).first(prompt_len); }
  std::span<const int32_t> output() const { return std::span(tokens).subspan(prompt_len); }

  // Whether the logits after `position` are wanted. Sampling needs those of the last token and of each draft. The
  // prompt's log probabilities need those from logits_from on.
  bool wants_logits(int position) const {
    return position >= length() - 1 || (position >= logits_from && position < prompt_len - 1);
  }

  // Fields of every step come first, so that planning touches few cache lines.
  std::vector<int32_t> tokens;  // the prompt, then the output
  int prompt_len;
  int computed_len = 0;
  int prefill_len;           // owned by the scheduler: tokens it had when it was started last
  int token_len_max;         // the engine ends the sequence there
  int n_unknown = 0;         // tokens after `tokens` that the device samples in unfinished steps
  int n_in_flight = 0;       // unfinished steps that compute tokens of it
  int n_draft = 0;           // owned by the scheduler: first drafts in a started step, not accepted or rejected yet
  int logits_from;           // see wants_logits; 0: the whole prompt. Rises as they are reported, so never twice
  int32_t sampled_row = -1;  // n_unknown > 0: the logit row of the last of them, in the step started last
  int adapter = -1;          // index of the LoRA adapter; -1: the base model
  int64_t priority = 0;      // lower goes first, under the priority policy
  uint64_t arrival = 0;      // distinct; set by the engine in order of arrival

  // Owned by the scheduler.
  std::vector<int32_t> blocks;           // of token i: blocks[i / block_size]
  int n_shared = 0;                      // leading blocks that the prefix cache knows
  int32_t state_slot = -1;               // live slot of its recurrent state; -1: not running, or no recurrent layers
  std::vector<kvcache::Digest> digests;  // of the full blocks, as far as known
  kvcache::Digest root{};                // parent of digests[0]
  int cached_len = -1;                   // prompt tokens found in the prefix cache; -1: never ran
  int n_preempted = 0;                   // times that it lost its blocks
  int awaited = -1;                      // index of a block that another sequence computes; -1: none

  // Proposed by the engine to follow `tokens`; empty: none. REQUIRES: n_unknown == 0, unless empty.
  std::vector<int32_t> drafts;
};

}  // namespace polymath::engine
