#pragma once

// What a tiktoken file leaves to its model's Python class: the pattern of words and the special tokens.
//
// A family is a row. A class that no row names is refused: another pattern would give other ids in silence.
// Sources: tokenization_kimi.py of Kimi-K2, tokenization_hy.py of Hunyuan-A13B, tokenization_qwen.py of Qwen-7B;
// transformers' TikTokenConverter; tiktoken_ext/openai_public.py.

#include <string_view>

#include "base/status.h"

namespace polymath::text {

struct TiktokenFamily {
  std::string_view name;           // tokenizer_class of tokenizer_config.json; empty: transformers' general ones
  std::string_view file;           // says the family where the class does not
  std::string_view pattern;        // RegexDialect::kTiktoken
  std::string_view bos, eos;       // where the config names none; empty: none
  std::string_view specials[5];    // the first ids behind the tokens
  int extras = 0;                  // then "<|extra_0|>", ...
  int reserved = 0;                // ids behind the tokens; one without a name is "<|reserved_token_ID|>"
  bool named_are_special = false;  // `specials` and extras are left out of answers
  bool nfc = false;                // text is brought to the normal form C first
  bool cuts_long_texts = false;    // as Kimi's class does: pre_tokenizer.h
  bool id_is_line = false;         // ids count the lines and repeated tokens are skipped; else the file's ranks
};

// `tokenizer_class`: tokenizer_config.json's; empty: none. kInvalidArgument: neither class nor file name is known.
absl::StatusOr<const TiktokenFamily*> find_tiktoken_family(std::string_view tokenizer_class, std::string_view file);

}  // namespace polymath::text
