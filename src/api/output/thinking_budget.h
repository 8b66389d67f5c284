#pragma once

// A bound on a chat's reasoning. Behind so many tokens of it, its end is forced, token by token.
//
//   ASSIGN_OR_RETURN(plan.thinking, make_thinking_budget(model, plan.output, plan.sampling, 512));
//   request.mask = within_budget(plan.thinking, make_mask(plan.grammar));  // one a choice
//
// Tokens of the reasoning's text count, in all of its stretches. Its marks, headers of channels and calls do not.
// A character of several tokens is ended first. What the inner mask forbids is not forced.
//
// Thread safety: a ThinkingBudget is const; a mask belongs to one thread at a time.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "api/output/output_plan.h"
#include "base/status.h"
#include "engine/request.h"
#include "text/grammar/vocabulary.h"

namespace polymath::api {

struct ServedModel;

inline constexpr std::string_view kThinkingBudgetField = "thinking_token_budget";

struct ThinkingBudget {
  int tokens_max = 0;         // of reasoning; at the limit its end is forced
  text::OutputFormat format;  // reads the answer
  text::OutputOptions options;
  std::vector<int32_t> end;      // what is forced; not empty
  std::vector<int32_t> reopens;  // ids that would begin the next reasoning right behind it
  std::shared_ptr<const text::grammar::Vocabulary> vocabulary;
};
using ThinkingBudgetPtr = std::shared_ptr<const ThinkingBudget>;

// Null: `tokens_max` is -1, no limit. kInvalidArgument, about `thinking_token_budget`: the model's reasoning has no
// known format, its tokenizer cannot write the end, or `sampling` forbids it. REQUIRES: tokens_max >= -1.
absl::StatusOr<ThinkingBudgetPtr> make_thinking_budget(const ServedModel& model, const OutputPlan& output,
                                                       const engine::SamplingParams& sampling, int tokens_max);

// A new mask, at the beginning of an answer. `inner` null: any text. `budget` null: the inner mask alone.
std::shared_ptr<engine::TokenMask> within_budget(ThinkingBudgetPtr budget, std::shared_ptr<engine::TokenMask> inner);

}  // namespace polymath::api
