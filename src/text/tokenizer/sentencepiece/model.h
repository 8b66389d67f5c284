#pragma once

// A tokenizer from SentencePiece's model, wherever it came from.

#include <memory>
#include <string_view>

#include "text/tokenizer/sentencepiece/proto.h"

namespace polymath::text {

// `config`: tokenizer_config.json's text; may be empty. kInvalidArgument: the pieces are not what SentencePiece wants.
absl::StatusOr<std::unique_ptr<Tokenizer>> build_sentencepiece(const SentencePieceProto& proto, std::string_view config,
                                                               const TokenizerLimits& limits);

}  // namespace polymath::text
