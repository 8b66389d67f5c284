#pragma once

// The one Tokenizer there is: whatever the file, its steps in their order.
//
//   text -> added tokens | normalizer -> added tokens | pre-tokenizer -> model -> ids, special ones around
//   ids -> spellings -> decoder -> text

#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/token_model.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

struct TokenizerParts {
  std::shared_ptr<const Vocabulary> vocabulary;  // with the added tokens
  AddedTokens added;
  std::unique_ptr<Normalizer> normalizer;       // null: none
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // null: none
  std::unique_ptr<TokenModel> model;
  std::unique_ptr<Decoder> decoder;  // null: spellings with a blank between them
  SpecialAround around;
  std::optional<TokenId> bos, eos;
  std::optional<TokenId> unknown;  // SentencePiece only: decoded as unknown_surface, unless it is special
  std::string unknown_surface;
};

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts);

}  // namespace polymath::text
