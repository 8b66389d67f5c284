#pragma once

// The bytes of one token, where decode() gives whole characters alone.
//
// Thread safety: all functions may run at once on many threads.

#include <span>
#include <string>

#include "text/tokenizer.h"

namespace polymath::text {

// The bytes that `id` adds to a text: " hello", or half a character. Bytes of all ids, joined, are the text's.
// `anchor`: ids of a plain letter. Decoded behind it, a token keeps its leading blank. Empty: the token begins a text.
// Unknown ids give none.
std::string token_bytes(const Tokenizer& tokenizer, std::span<const TokenId> anchor, TokenId id);

}  // namespace polymath::text
