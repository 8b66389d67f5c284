#pragma once

// SentencePiece's BPE. Neighbouring symbols whose text is a piece join, the best score first, then the leftmost.
// User-defined pieces are cut out first and join with nothing.
// Source: sentencepiece src/bpe_model.cc.

#include <memory>

#include "text/tokenizer/sentencepiece/proto.h"
#include "text/tokenizer/token_model.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

// `vocabulary`: the pieces under their ids. `unknown`: the id of the unknown piece.
std::unique_ptr<TokenModel> make_sentencepiece_bpe(const SentencePieceProto& proto,
                                                   std::shared_ptr<const Vocabulary> vocabulary, TokenId unknown);

}  // namespace polymath::text
