#pragma once

// A ServedModel for fuzz targets of requests: the tokenizer has one entry a byte, so no file is needed.

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "api/generation.h"
#include "api/served_model.h"

namespace polymath::fuzz {

using text::TokenId;

class ByteTokenizer : public text::Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::vector<text::TextToken> encode_with_offsets(std::string_view text, bool,
                                                   const text::EncodeBounds&) const override {
    std::vector<text::TextToken> tokens;
    for (size_t i = 0; i < text.size(); ++i) tokens.push_back({static_cast<unsigned char>(text[i]), i, i + 1});
    return tokens;
  }
  std::string decode(std::span<const TokenId> ids, bool) const override { return std::string(ids.size(), 'x'); }
  std::string token_text(TokenId) const override { return "x"; }
  bool is_special(TokenId) const override { return false; }
  size_t vocab_size() const override { return 256; }
  std::optional<TokenId> bos_id() const override { return std::nullopt; }
  std::optional<TokenId> eos_id() const override { return 0; }
};

inline constexpr int kModelLen = 4096;

// `chat_template`: the template's text; empty: none.
inline api::ServedModel byte_model(std::string_view chat_template) {
  api::ServedModel model;
  model.names = {"m"};
  model.adapters = {{"a", "/a", "m"}, {"b", "/b", "m"}};
  model.model_len_max = kModelLen;
  model.vocab = 256;
  model.tokenizer = std::make_shared<ByteTokenizer>();
  complete_tokenizer_facts(model);
  if (chat_template.empty()) return model;
  auto made = make_template(model, {std::string(text::kDefaultTemplate), std::string(chat_template)},
                            api::ContentFormat::kAuto);
  if (!made.ok()) std::abort();
  model.chat_templates.push_back(*std::move(made));
  return model;
}

// Dies unless what goes to the engine is in bounds.
inline void check_plan(const api::GenerationPlan& plan) {
  if (plan.prompts.empty() || plan.prompts.size() != plan.max_tokens.size()) std::abort();
  if (plan.adapter < -1 || plan.adapter > 1) std::abort();
  for (size_t i = 0; i < plan.prompts.size(); ++i) {
    const auto total = static_cast<int64_t>(plan.prompts[i].size()) + plan.max_tokens[i];
    if (plan.prompts[i].empty() || (plan.max_tokens[i] < 1 && !plan.drop_output) || total > kModelLen) std::abort();
  }
}

// An error body must be small, valid JSON and, as the parser checks, valid UTF-8.
inline void check_error_body(const std::string& body) {
  constexpr size_t kBytesMax = 2048;
  if (body.size() > kBytesMax || !base::parse_json(body, {}).ok()) std::abort();
}

}  // namespace polymath::fuzz
