#pragma once

// One running answer, as the scheduler sees it: tokens, and the KV blocks under them.
//
//   0 <= computed_len <= length() <= token_len_max        length() = token_len() + n_unknown
//
// Tokens before computed_len have their keys and values in the blocks, as any step sees it that is started from now on;
// the others have yet to go through the model. Nothing else says what a sequence is doing: one token left is a decode,
// more is a prefill, and one that lost its blocks has computed_len 0 and computes its prompt and output anew, as a
// longer prompt.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "kvcache/prefix_cache.h"

namespace polymath::engine {

struct Sequence {
  // Sets aside all it will ever need, so that the engine thread allocates nothing. REQUIRES: a prompt.
  Sequence(std::vector<int32_t> prompt, int token_len_max, int block_size)
      : tokens(std::move(prompt)), prompt_len(static_cast<int>(tokens.size())), token_len_max(token_len_max) {
    logits_from = prompt_len - 1;
    tokens.reserve(token_len_max);
    blocks.reserve(token_len_max / block_size + 1);
    digests.reserve(token_len_max / block_size + 1);
  }

  // Names the prompt's full blocks for the prefix cache; on the caller's thread, since long prompts take milliseconds.
  void hash_prompt(kvcache::BlockHasher& hasher, std::string_view salt, int block_size) {
    root = hasher.root(salt, adapter);
    for (int at = 0; at + block_size <= prompt_len; at += block_size) {
      const std::span<const int32_t> block(tokens.data() + at, block_size);
      digests.push_back(hasher.next(digests.empty() ? root : digests.back(), block));
    }
  }

  int token_len() const { return static_cast<int>(tokens.size()); }
  int length() const { return token_len() + n_unknown; }
  // Tokens that can go through the model by now: the last of all never does.
  int computable_len() const { return std::min(length(), token_len_max - 1); }
  int remaining() const { return computable_len() - computed_len; }
  std::span<const int32_t> prompt() const { return std::span(tokens).first(prompt_len); }
  std::span<const int32_t> output() const { return std::span(tokens).subspan(prompt_len); }

  // Whether the logits after the token at `position` are wanted: after the last, to choose the next; and after the
  // prompt's from logits_from on, to tell the prompt's probabilities.
  bool wants_logits(int position) const {
    return position == length() - 1 || (position >= logits_from && position < prompt_len - 1);
  }

  std::vector<int32_t> tokens;  // the prompt, then the output
  int prompt_len;
  int computed_len = 0;
  int n_unknown = 0;         // tokens after these that the device has chosen, or will, in steps that are not finished
  int32_t sampled_row = -1;  // n_unknown > 0: the last of them, as a row of logits of the step started last
  int token_len_max;         // the engine ends the sequence there
  int logits_from;       // see wants_logits; 0: of the whole prompt. Raised as they are told, lest they be told twice
  uint64_t arrival = 0;  // distinct; set by the engine in order of arrival
  int priority = 0;      // lower goes first, under the priority policy
  int adapter = -1;      // index of the LoRA adapter; -1: the base model

  // Owned by the scheduler.
  std::vector<int32_t> blocks;           // of token i: blocks[i / block_size]
  kvcache::Digest root{};                // what stands before digests[0]
  std::vector<kvcache::Digest> digests;  // of the full blocks, as far as known
  int n_shared = 0;                      // of its blocks, from the first on: the prefix cache was told of them
  int cached_len = -1;                   // prompt tokens found in the prefix cache; -1: never ran
  int awaited = -1;                      // index of a block that another sequence is computing; -1: none
};

}  // namespace polymath::engine
