#pragma once

// What a run asks: conversations of one or more turns, with random prompts of given lengths and shared beginnings.
// A seed and a conversation's index decide its content, in whatever order conversations run.

#include <cstdint>
#include <string>
#include <vector>

#include "commands/load/arrivals.h"
#include "commands/load/dialect.h"
#include "commands/load/lengths.h"

namespace polymath::commands::load {

struct WorkloadOptions {
  int conversations = 1;
  int turns = 1;      // requests of a conversation; each prompt begins with the last one and its answer
  Length prompt_len;  // tokens of a turn's own text
  Length output_len;
  int prefix_len = 0;  // tokens before the first turn, the same within a group
  int n_prefixes = 1;  // groups; conversations take turns
  int vocab = 2048;    // token ids are below it; their lowest is 300, or half of it if that is less
  PromptForm form = PromptForm::kIds;
  uint64_t seed = 0;
};

// Text is made of common English words, about one token each: only the server can count them.
class Conversation {
 public:
  // `row`: lengths of its first turn from a trace; null: drawn.
  Conversation(const WorkloadOptions& options, int index, const TraceRow* row);

  bool has_next() const { return turn_ < options_.turns; }
  // Adds the next turn. REQUIRES: has_next().
  void ask();
  // The answer to it. `ids` may be empty: then random ones take their place in a prompt of ids.
  void answer(const std::string& text, const std::vector<int32_t>& ids);

  const Prompt& prompt() const { return prompt_; }
  int prompt_len() const { return prompt_len_; }  // tokens of the whole prompt, as asked for
  int output_len() const { return output_len_; }

 private:
  void add(Draw& draw, int tokens, const char* role);

  const WorkloadOptions& options_;
  const TraceRow* row_;
  Draw draw_;
  Prompt prompt_;
  int turn_ = 0;
  int prompt_len_ = 0;
  int output_len_ = 0;
};

}  // namespace polymath::commands::load
