// tokenizer.model -> Tokenizer.

#include "text/tokenizer/sentencepiece/model.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "text/tokenizer.h"
#include "text/tokenizer/sentencepiece/bpe.h"
#include "text/tokenizer/sentencepiece/normalizer.h"
#include "text/tokenizer/tokenizer_config.h"
#include "text/tokenizer/tokenizer_pipeline.h"
#include "text/tokenizer/unigram.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr double kUnknownPenalty = 10;      // below the lowest score
constexpr double kUserDefinedMargin = 0.1;  // a user-defined piece costs this more than its bytes at the best score

// The pieces under their ids; checks what SentencePiece itself insists on.
absl::StatusOr<Vocabulary> read_pieces(const SentencePieceProto& proto, const TokenizerLimits& limits,
                                       TokenId& unknown) {
  Vocabulary vocabulary(limits);
  unknown = -1;
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    const auto& piece = proto.pieces[id];
    if (sanitize_utf8(piece.text) != piece.text) {
      return absl::InvalidArgumentError(absl::StrCat("piece ", id, ": is not UTF-8"));
    }
    RETURN_IF_ERROR(vocabulary.add(piece.text, static_cast<int64_t>(id)));
    if (piece.type != PieceType::kUnknown) continue;
    if (unknown >= 0)
      return absl::InvalidArgumentError(absl::StrCat("pieces ", unknown, " and ", id, " are both unknown"));
    unknown = static_cast<TokenId>(id);
  }
  if (unknown < 0) return absl::InvalidArgumentError("no piece is of type UNKNOWN");
  if (proto.byte_fallback) {
    const auto bytes = vocabulary.byte_tokens();
    if (std::find(bytes.begin(), bytes.end(), -1) != bytes.end()) {
      return absl::InvalidArgumentError("byte_fallback without all of the pieces <0x00> ... <0xFF>");
    }
  }
  return vocabulary;
}

std::unique_ptr<TokenModel> make_unigram(const SentencePieceProto& proto, std::shared_ptr<const Vocabulary> vocabulary,
                                         TokenId unknown) {
  float lowest = std::numeric_limits<float>::max(), highest = std::numeric_limits<float>::lowest();
  for (const auto& piece : proto.pieces) {
    if (piece.type != PieceType::kNormal) continue;
    lowest = std::min(lowest, piece.score);
    highest = std::max(highest, piece.score);
  }
  if (lowest > highest) lowest = highest = 0;  // no normal piece
  std::vector<UnigramPiece> pieces;
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    const auto& piece = proto.pieces[id];
    const auto token = static_cast<TokenId>(id);
    if (piece.type == PieceType::kNormal) pieces.push_back({token, piece.score});
    if (piece.type == PieceType::kUserDefined) {
      pieces.push_back({token, static_cast<float>(piece.text.size()) * highest - kUserDefinedMargin});
    }
  }
  UnigramOptions options;
  options.unknown = unknown;
  options.unknown_score = static_cast<float>(lowest - kUnknownPenalty);
  options.byte_fallback = proto.byte_fallback;
  options.single_precision = true;
  return std::make_unique<Unigram>(std::move(vocabulary), pieces, options);
}

// Control pieces are tokens that are found in a text as they are spelled, and special, as transformers has it.
std::vector<AddedToken> control_tokens(const SentencePieceProto& proto) {
  std::vector<AddedToken> tokens;
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    if (proto.pieces[id].type != PieceType::kControl) continue;
    tokens.push_back({.content = proto.pieces[id].text, .id = static_cast<TokenId>(id), .special = true});
  }
  return tokens;
}

// The trainer's own id, if it is a piece.
std::optional<std::string> piece_name(const SentencePieceProto& proto, int32_t id) {
  if (id < 0 || static_cast<size_t>(id) >= proto.pieces.size()) return std::nullopt;
  return proto.pieces[id].text;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> build(const SentencePieceProto& proto, TokenizerConfig config,
                                                 const TokenizerLimits& limits) {
  if (proto.kind == SentencePieceKind::kWord) return absl::InvalidArgumentError("model_type WORD is not supported");
  if (proto.kind == SentencePieceKind::kChar) return absl::InvalidArgumentError("model_type CHAR is not supported");
  TokenId unknown = -1;
  ASSIGN_OR_RETURN(Vocabulary own, read_pieces(proto, limits, unknown));
  auto whole = std::make_shared<Vocabulary>(own);
  auto pieces = std::make_shared<const Vocabulary>(std::move(own));

  if (!config.bos) config.bos = piece_name(proto, proto.bos_id);
  if (!config.eos) config.eos = piece_name(proto, proto.eos_id);
  // transformers' defaults for SentencePiece models.
  if (!config.add_bos) config.add_bos = config.bos.has_value();
  if (!config.add_eos) config.add_eos = false;

  TokenizerParts parts;
  std::vector<AddedToken> tokens = control_tokens(proto);
  RETURN_IF_ERROR(join_added_tokens(config, tokens, *whole));
  // transformers seeks each of them as it is spelled; the normalizer would put a dummy prefix in front.
  for (AddedToken& token : tokens) token.normalized = false;
  RETURN_IF_ERROR(override_special_around(config, *whole, parts.around));
  ASSIGN_OR_RETURN(parts.normalizer, make_sentencepiece_normalizer(proto, config.legacy));
  parts.model = proto.kind == SentencePieceKind::kBpe ? make_sentencepiece_bpe(proto, pieces, unknown)
                                                      : make_unigram(proto, pieces, unknown);
  parts.decoder = make_sentencepiece_decoder(
      {.strip_first = proto.add_dummy_prefix || proto.remove_extra_blanks, .strip_all = proto.remove_extra_blanks});
  parts.added = AddedTokens(std::move(tokens), parts.normalizer.get());
  if (config.bos) parts.bos = whole->find(*config.bos);
  if (config.eos) parts.eos = whole->find(*config.eos);
  parts.unknown = unknown;
  parts.unknown_surface = proto.unknown_surface;
  parts.vocabulary = std::move(whole);
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> build_sentencepiece(const SentencePieceProto& proto, std::string_view config,
                                                               const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(TokenizerConfig parsed, parse_tokenizer_config(config, limits));
  return build(proto, std::move(parsed), limits);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> parse_sentencepiece_model(std::string_view model, std::string_view config,
                                                                     const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(TokenizerConfig parsed_config, parse_tokenizer_config(config, limits));
  const auto proto = parse_sentencepiece_proto(model, limits);
  if (!proto.ok()) return in_tokenizer_file("tokenizer.model", proto.status());
  auto tokenizer = build(*proto, std::move(parsed_config), limits);
  if (!tokenizer.ok()) return in_tokenizer_file("tokenizer.model", tokenizer.status());
  return tokenizer;
}

}  // namespace polymath::text
