#include "text/tokenizer/sentencepiece/normalizer.h"

#include <optional>

#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/sentencepiece/charsmap.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";

class SentencePieceNormalizer final : public Normalizer {
 public:
  SentencePieceNormalizer(const SentencePieceProto& proto, std::optional<Charsmap> map, bool prefix_everywhere)
      : map_(std::move(map)),
        blank_(proto.escape_blanks ? kBlank : " "),
        dummy_prefix_(proto.add_dummy_prefix),
        as_suffix_(proto.blank_as_suffix),
        remove_extra_(proto.remove_extra_blanks),
        prefix_everywhere_(prefix_everywhere) {
    std::vector<std::pair<std::string_view, int32_t>> kept;
    for (const auto& piece : proto.pieces) {
      if (piece.type == PieceType::kUserDefined) kept.emplace_back(piece.text, 0);
    }
    kept_ = ByteTrie(std::move(kept));
  }

  std::string apply(std::string text, bool at_start) const override {
    const std::string_view view(text);
    size_t i = 0;
    while (remove_extra_ && i < view.size()) {
      const Charsmap::Match step = next(view.substr(i));
      if (step.replacement != " ") break;
      i += step.bytes;
    }
    if (i == view.size()) return "";
    const bool dummy = dummy_prefix_ && (at_start || prefix_everywhere_);
    std::string out;
    out.reserve(view.size() + view.size() / 2);
    if (dummy && !as_suffix_) out += blank_;
    bool behind_blank = remove_extra_;
    while (i < view.size()) {
      const Charsmap::Match step = next(view.substr(i));
      i += step.bytes;
      std::string_view piece = step.replacement;
      while (behind_blank && piece.starts_with(' ')) piece.remove_prefix(1);
      if (!piece.empty()) {
        append(piece, out);
        behind_blank = remove_extra_ && piece.ends_with(' ');
      }
    }
    while (remove_extra_ && std::string_view(out).ends_with(blank_)) out.resize(out.size() - blank_.size());
    if (dummy && as_suffix_) out += blank_;
    return out;
  }

 private:
  void append(std::string_view piece, std::string& out) const {
    for (const char c : piece) {
      if (c == ' ') {
        out += blank_;
      } else {
        out.push_back(c);
      }
    }
  }

  // What the text begins with, and its normal form: a user-defined piece, an entry of the map, or a character.
  Charsmap::Match next(std::string_view text) const {
    size_t kept = 0;
    kept_.prefixes(text, [&](size_t bytes, int32_t) { kept = bytes; });
    if (kept > 0) return {kept, text.substr(0, kept)};
    if (map_) {
      if (const auto match = map_->longest(text)) return *match;
    }
    const size_t length = std::min<size_t>(utf8_length(text[0]), text.size());
    return {length, text.substr(0, length)};
  }

  std::optional<Charsmap> map_;
  ByteTrie kept_;
  std::string_view blank_;
  bool dummy_prefix_, as_suffix_, remove_extra_, prefix_everywhere_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Normalizer>> make_sentencepiece_normalizer(const SentencePieceProto& proto,
                                                                          bool prefix_everywhere) {
  std::optional<Charsmap> map;
  if (!proto.charsmap.empty()) {
    ASSIGN_OR_RETURN(map, Charsmap::parse(proto.charsmap));
  }
  return std::make_unique<SentencePieceNormalizer>(proto, std::move(map), prefix_everywhere);
}

}  // namespace polymath::text
