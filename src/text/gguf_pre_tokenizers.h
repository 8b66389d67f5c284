#pragma once

// How text is cut before the merges, by tokenizer.ggml.pre.

#include <string>
#include <string_view>
#include <vector>

namespace polymath::text {

struct GgufPreTokenizer {
  std::vector<std::string_view> names;     // of tokenizer.ggml.pre
  std::vector<std::string_view> patterns;  // each cuts the pieces of the one before
  std::string_view normalizer = {};        // of tokenizer.json; empty: none
  bool byte_level_regex = false;           // GPT-2's own pattern, last
  bool ignore_merges = false;              // a piece that is a token is that token
  bool adds_bos = false;                   // where tokenizer.ggml.add_bos_token does not say
};

// Null: not known.
const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name);
std::vector<std::string> gguf_pre_tokenizer_names();

}  // namespace polymath::text
