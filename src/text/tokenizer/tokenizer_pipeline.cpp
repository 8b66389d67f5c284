#include "text/tokenizer/tokenizer_pipeline.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/aligned_text.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr size_t kWordsBetweenLooks = 256;  // at the bounds of an encoding

constexpr char32_t kLevelBlank = 0x120;  // "Ġ": a blank in GPT-2's alphabet

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {}

  std::vector<TokenId> encode(std::string_view input, bool add_special) const override {
    return encode_within(input, add_special, {});
  }

  std::vector<TokenId> encode_within(std::string_view input, bool add_special,
                                     const EncodeBounds& bounds) const override {
    std::vector<TokenId> ids;
    if (add_special) ids = parts_.around.before;
    encode_text(sanitize_utf8(input), {ids, nullptr, bounds});
    if (add_special) ids.insert(ids.end(), parts_.around.after.begin(), parts_.around.after.end());
    return ids;
  }

  std::vector<TextToken> encode_with_offsets(std::string_view input, bool add_special,
                                             const EncodeBounds& bounds) const override {
    const std::string text = sanitize_utf8(input);
    std::vector<TokenId> ids;
    std::vector<ByteSpan> spans;
    encode_text(text, {ids, &spans, bounds});
    std::vector<TextToken> out;
    const auto add_all = [&](const std::vector<TokenId>& added) {
      for (const TokenId id : added) out.push_back({id, 0, 0});
    };
    if (add_special) add_all(parts_.around.before);
    for (size_t i = 0; i < ids.size(); ++i) {
      TextToken token{ids[i], spans[i].begin, spans[i].end};
      if (parts_.around.trims) trim(text, i == 0, token);
      out.push_back(token);
    }
    if (add_special) add_all(parts_.around.after);
    return out;
  }

  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const TokenId id : ids) {
      if (!parts_.vocabulary->has(id) || (skip_special && parts_.vocabulary->is_special(id))) continue;
      const bool is_unknown = parts_.unknown && id == *parts_.unknown && !parts_.vocabulary->is_special(id);
      tokens.emplace_back(is_unknown ? std::string_view(parts_.unknown_surface) : parts_.vocabulary->text(id));
    }
    if (parts_.decoder != nullptr) parts_.decoder->apply(tokens);
    std::string text;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && parts_.decoder == nullptr) text.push_back(' ');
      text += tokens[i];
    }
    return sanitize_utf8(text);
  }

  std::string token_text(TokenId id) const override { return std::string(parts_.vocabulary->text(id)); }
  bool is_special(TokenId id) const override { return parts_.vocabulary->is_special(id); }
  size_t vocab_size() const override { return parts_.vocabulary->size(); }
  std::optional<TokenId> bos_id() const override { return parts_.bos; }
  std::optional<TokenId> eos_id() const override { return parts_.eos; }

 private:
  struct Output {
    std::vector<TokenId>& ids;
    std::vector<ByteSpan>* spans;  // null: offsets are not wanted
    const EncodeBounds& bounds;

    bool ended() const { return ids.size() > bounds.tokens_max || (bounds.stopped && bounds.stopped()); }
  };

  void encode_text(const std::string& text, Output out) const {
    parts_.added.split_raw(text, [&](std::string_view part, TokenId id) {
      const auto at = static_cast<size_t>(part.data() - text.data());
      if (id < 0) return out.ended() ? void() : encode_part(part, at, out);
      out.ids.push_back(id);
      if (out.spans == nullptr) return;
      out.spans->push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(at + part.size())});
    });
  }

  // `at`: where the part stands in the input.
  void encode_part(std::string_view part, size_t at, Output out) const {
    AlignedText normal = out.spans != nullptr ? AlignedText::of(part, at) : AlignedText{std::string(part)};
    if (parts_.normalizer != nullptr) normal = parts_.normalizer->apply(std::move(normal), at == 0);
    parts_.added.split_normalized(normal.text, [&](std::string_view text, TokenId id) {
      const auto begin = static_cast<size_t>(text.data() - normal.text.data());
      if (id < 0) return encode_words(normal.part(begin, begin + text.size()), at == 0 && begin == 0, out);
      out.ids.push_back(id);
      if (out.spans != nullptr) out.spans->push_back(normal.origin(begin, begin + text.size()));
    });
  }

  void encode_words(AlignedText text, bool at_start, Output out) const {
    const size_t bytes = text.text.size();
    Words words{std::move(text), {{0, bytes}}, at_start};
    if (parts_.pre_tokenizer != nullptr) parts_.pre_tokenizer->apply(words);
    size_t n = 0;
    for (const auto& range : words.ranges) {
      if (++n % kWordsBetweenLooks == 0 && out.ended()) return;
      const size_t first = out.ids.size();
      parts_.model->encode(words.at(range), out.ids, out.spans);
      if (out.spans == nullptr) continue;
      for (size_t i = first; i < out.ids.size(); ++i) {
        ByteSpan& span = (*out.spans)[i];
        span = words.text.origin(range.begin + span.begin, std::min<size_t>(range.begin + span.end, range.end));
      }
    }
  }

  // As ByteLevel's trim_offsets: blanks at a token's ends are not its text. They are counted in its spelling, where the
  // first token's one blank may have been added.
  void trim(std::string_view text, bool is_first, TextToken& token) const {
    const std::string_view spelling = parts_.vocabulary->text(token.id);
    size_t leading = 0, trailing = 0;
    bool all_blank = true;
    for (size_t at = 0; at < spelling.size();) {
      const CodePoint c = decode_utf8(spelling.substr(at));
      const bool blank = is_space(c.value) || c.value == kLevelBlank;
      all_blank &= blank;
      leading += all_blank ? 1 : 0;
      trailing = blank ? trailing + 1 : 0;
      at += static_cast<size_t>(c.bytes);
    }
    if (leading == 1 && parts_.around.prefix_space && (is_first || token.begin == 0)) leading = 0;
    for (; leading > 0 && token.begin < token.end; --leading) {
      token.begin += static_cast<size_t>(utf8_length(text[token.begin]));
    }
    for (; trailing > 0 && token.begin < token.end; --trailing) {
      --token.end;
      while (token.end > token.begin && (static_cast<unsigned char>(text[token.end]) & 0xC0) == 0x80) --token.end;
    }
  }

  TokenizerParts parts_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts) {
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace polymath::text
