#include "text/tokenizer/tokenizer_pipeline.h"

#include "text/utf8.h"

namespace polymath::text {
namespace {

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {}

  std::vector<TokenId> encode(std::string_view input, bool add_special) const override {
    const std::string text = sanitize_utf8(input);
    std::vector<TokenId> ids;
    if (add_special) ids = parts_.around.before;
    parts_.added.split_raw(text, [&](std::string_view part, TokenId id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        encode_part(part, part.data() == text.data(), ids);
      }
    });
    if (add_special) ids.insert(ids.end(), parts_.around.after.begin(), parts_.around.after.end());
    return ids;
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
  void encode_part(std::string_view part, bool at_start, std::vector<TokenId>& ids) const {
    std::string normalized(part);
    if (parts_.normalizer != nullptr) normalized = parts_.normalizer->apply(std::move(normalized), at_start);
    parts_.added.split_normalized(normalized, [&](std::string_view text, TokenId id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        encode_words(text, at_start && text.data() == normalized.data(), ids);
      }
    });
  }

  void encode_words(std::string_view text, bool at_start, std::vector<TokenId>& ids) const {
    if (parts_.pre_tokenizer == nullptr) return parts_.model->encode(text, ids);
    Words words{std::string(text), {{0, text.size()}}, at_start};
    parts_.pre_tokenizer->apply(words);
    for (const auto& range : words.ranges) parts_.model->encode(words.at(range), ids);
  }

  TokenizerParts parts_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts) {
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace polymath::text
