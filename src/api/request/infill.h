#pragma once

// Fill-in-the-middle: the special tokens that models trained for it mark a prefix, a suffix and the middle with.
//
//   model.infill = find_infill(*tokenizer);               // once, at load
//   encode(infill_prompt(*model.infill, "int main(", ") {}"), true);
//
// Sources: arXiv:2207.14255; the tokenizers of Qwen2.5-Coder, StarCoder, DeepSeek-Coder, Code Llama and Codestral.

#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace polymath::api {

// One family's spelling and order.
struct InfillTokens {
  std::string_view prefix, suffix, middle;  // as the vocabulary spells them; middle may be empty
  bool suffix_first = false;
};

// The first family whose tokens are all in the vocabulary; nullopt: none.
std::optional<InfillTokens> find_infill(const text::Tokenizer& tokenizer);

// The text to tokenize. Its special tokens become their ids, as in any prompt.
std::string infill_prompt(const InfillTokens& tokens, std::string_view prefix, std::string_view suffix);

}  // namespace polymath::api
