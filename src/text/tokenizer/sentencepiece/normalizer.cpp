#include "text/tokenizer/sentencepiece/normalizer.h"

#include <algorithm>
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

  AlignedText apply(AlignedText from, bool at_start) const override {
    const std::string_view view(from.text);
    Rewrite out(from);
    size_t i = 0;
    while (remove_extra_ && i < view.size()) {
      const Charsmap::Match step = next(view.substr(i));
      if (step.replacement != " ") break;
      out.drop(step.bytes);
      i += step.bytes;
    }
    if (i == view.size()) return {.tracked = from.tracked};
    const bool dummy = dummy_prefix_ && (at_start || prefix_everywhere_);
    if (dummy && !as_suffix_) out.lead(blank_);
    bool behind_blank = remove_extra_;
    while (i < view.size()) {
      const Charsmap::Match step = next(view.substr(i));
      std::string_view piece = step.replacement;
      while (behind_blank && piece.starts_with(' ')) piece.remove_prefix(1);
      if (step.replacement.data() == view.data() + i) {
        out.drop(step.bytes - piece.size());
        keep(piece, out);
      } else {
        for (const char& c : piece) out.lead(c == ' ' ? blank_ : std::string_view(&c, 1));
        out.drop(step.bytes);
      }
      i += step.bytes;
      if (!piece.empty()) behind_blank = remove_extra_ && piece.ends_with(' ');
    }
    size_t end = 0;  // blanks at it
    AlignedText made = out.take();
    while (remove_extra_ && std::string_view(made.text).substr(0, made.text.size() - end).ends_with(blank_)) {
      end += blank_.size();
    }
    made = made.part(0, made.text.size() - end);
    if (!dummy || !as_suffix_) return made;
    Rewrite with_suffix(made);
    with_suffix.keep(made.text.size());
    with_suffix.add(blank_);
    return with_suffix.take();
  }

 private:
  // The next bytes, which are `text`.
  void keep(std::string_view text, Rewrite& out) const {
    while (!text.empty()) {
      const size_t plain = std::min(text.find(' '), text.size());
      out.keep(plain);
      if (plain < text.size()) out.replace(blank_, 1);
      text.remove_prefix(std::min(plain + 1, text.size()));
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
