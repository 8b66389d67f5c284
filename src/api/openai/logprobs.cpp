#include "api/openai/logprobs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"

namespace polymath::api {
namespace {

base::JsonArray bytes_of(std::string_view text) {
  base::JsonArray bytes;
  for (const char c : text) bytes.emplace_back(static_cast<int>(static_cast<unsigned char>(c)));
  return bytes;
}

base::JsonObject chat_entry(const LogprobNames& names, const engine::TokenLogprob& token, const text::TokenText& text) {
  base::JsonObject entry;
  entry["token"] = text_json(names.of(token.id, text));
  entry["logprob"] = logprob_json(token.logprob);
  entry["bytes"] = nullptr;
  if (names.model->tokenizer != nullptr) entry["bytes"] = bytes_of(text.bytes);
  return entry;
}

base::JsonObject prompt_entry(const LogprobNames& names, const engine::TokenLogprob& token,
                              const text::TokenText& text) {
  base::JsonObject entry;
  entry["logprob"] = logprob_json(token.logprob);
  entry["rank"] = token.rank;
  entry["decoded_token"] = text_json(names.of(token.id, text));
  return entry;
}

size_t wanted(const TokenInfo& token, int top_n) { return std::min(token.top.size(), static_cast<size_t>(top_n)); }

}  // namespace

std::string LogprobNames::of(int32_t id, const text::TokenText& text) const {
  return as_ids || model->tokenizer == nullptr ? absl::StrCat("token_id:", id) : text.text;
}

std::string CompletionLogprobs::take_name(int32_t id) {
  offsets_.add(texts_.characters());
  std::string name = names_.of(id, texts_.take(id));
  tokens_.add(text_json(name));
  return name;
}

void CompletionLogprobs::add_first(int32_t id) {
  take_name(id);
  logprobs_.add(nullptr);
  tops_.add(nullptr);
}

void CompletionLogprobs::add(const TokenInfo& token) {
  // Of several tokens with one text, as "" within a character, the most likely is kept.
  base::JsonObject top;
  for (size_t i = 0; i < wanted(token, top_n_); ++i) {
    const engine::TokenLogprob& other = token.top[i];
    top.emplace(names_.of(other.id, texts_.peek(other.id)), logprob_json(other.logprob));
  }
  top.emplace(take_name(token.id), logprob_json(token.chosen.logprob));
  logprobs_.add(logprob_json(token.chosen.logprob));
  tops_.add(std::move(top));
}

void CompletionLogprobs::append_to(std::string& out) {
  ObjectText object(out);
  object.member("text_offset") += offsets_.close(']');
  object.member("token_logprobs") += logprobs_.close(']');
  object.member("tokens") += tokens_.close(']');
  object.member("top_logprobs") += tops_.close(']');
  object.close();
}

std::string chat_logprobs(const LogprobNames& names, int top_n, const std::vector<TokenInfo>& tokens,
                          text::TokenTexts& texts) {
  ListText content('[');
  for (const TokenInfo& token : tokens) {
    base::JsonArray top;
    for (size_t i = 0; i < wanted(token, top_n); ++i) {
      top.emplace_back(chat_entry(names, token.top[i], texts.peek(token.top[i].id)));
    }
    base::JsonObject entry = chat_entry(names, token.chosen, texts.take(token.id));
    entry["top_logprobs"] = std::move(top);
    content.add(std::move(entry));
  }
  return absl::StrCat("{\"content\":", content.close(']'), "}");
}

std::string prompt_logprobs(const LogprobNames& names, int32_t first, int top_n, std::span<const TokenInfo> tokens) {
  text::TokenTexts texts(names.model->tokenizer.get(), {}, /*skip_special=*/false);
  texts.take(first);
  ListText out('[');
  out.add(nullptr);
  for (const TokenInfo& token : tokens) {
    base::JsonObject entry;
    for (size_t i = 0; i < wanted(token, top_n); ++i) {
      entry[absl::StrCat(token.top[i].id)] = prompt_entry(names, token.top[i], texts.peek(token.top[i].id));
    }
    base::JsonObject chosen = prompt_entry(names, token.chosen, texts.take(token.chosen.id));
    entry[absl::StrCat(token.chosen.id)] = std::move(chosen);
    out.add(std::move(entry));
  }
  return out.close(']');
}

}  // namespace polymath::api
