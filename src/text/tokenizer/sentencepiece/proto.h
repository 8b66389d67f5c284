#pragma once

// tokenizer.model: SentencePiece's ModelProto, read from protobuf's wire format without its library.
// Fields that encoding and decoding do not need are skipped.
// Source: sentencepiece_model.proto; protobuf.dev "Encoding".

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace polymath::text {

enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
enum class SentencePieceKind { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

struct SentencePieceEntry {
  std::string text;  // as the file has it; the id is the place
  float score = 0;
  PieceType type = PieceType::kNormal;
};

// Defaults are the proto's.
struct SentencePieceProto {
  std::vector<SentencePieceEntry> pieces;
  SentencePieceKind kind = SentencePieceKind::kUnigram;
  bool byte_fallback = false;
  bool blank_as_suffix = false;                    // treat_whitespace_as_suffix
  int32_t bos_id = 1, eos_id = 2;                  // negative: none
  std::string unknown_surface = " \xE2\x81\x87 ";  // what an unknown piece is decoded to
  std::string charsmap;                            // precompiled_charsmap; empty: none
  bool add_dummy_prefix = true;
  bool remove_extra_blanks = true;
  bool escape_blanks = true;
};

// kInvalidArgument with the byte: cut off, no protobuf, a value out of its range.
absl::StatusOr<SentencePieceProto> parse_sentencepiece_proto(std::string_view bytes, const TokenizerLimits& limits);

}  // namespace polymath::text
