#pragma once

// SentencePiece's normalization: the charsmap, blanks, and the dummy prefix.
// Source: sentencepiece src/normalizer.cc.

#include <memory>

#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/sentencepiece/proto.h"

namespace polymath::text {

// `prefix_everywhere`: a text behind another token gets the dummy prefix, too (transformers' "legacy").
absl::StatusOr<std::unique_ptr<Normalizer>> make_sentencepiece_normalizer(const SentencePieceProto& proto,
                                                                          bool prefix_everywhere);

}  // namespace polymath::text
