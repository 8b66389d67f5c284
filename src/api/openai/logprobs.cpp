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

base::JsonObject chat_entry(const LogprobNames& names, const engine::TokenLogprob& token) {
  const std::string name = names.of(token.id);
  base::JsonObject entry;
  entry["token"] = boost::json::string(name);
  entry["logprob"] = logprob_json(token.logprob);
  entry["bytes"] = bytes_of(name);
  return entry;
}

base::JsonObject prompt_entry(const LogprobNames& names, const engine::TokenLogprob& token) {
  base::JsonObject entry;
  entry["logprob"] = logprob_json(token.logprob);
  entry["rank"] = token.rank;
  entry["decoded_token"] = boost::json::string(names.of(token.id));
  return entry;
}

size_t wanted(const TokenInfo& token, int top_n) { return std::min(token.top.size(), static_cast<size_t>(top_n)); }

}  // namespace

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string LogprobNames::of(int32_t id) const {
  return as_ids || model->tokenizer == nullptr ? absl::StrCat("token_id:", id) : token_piece(*model, id);
}

std::string CompletionLogprobs::name(int32_t id) {
  std::string text = names_.of(id);
  tokens_.emplace_back(boost::json::string(text));
  offsets_.emplace_back(offset_);
  offset_ += count_characters(names_.as_ids ? token_piece(*names_.model, id) : text);
  return text;
}

void CompletionLogprobs::add_first(int32_t id) {
  name(id);
  logprobs_.emplace_back(nullptr);
  tops_.emplace_back(nullptr);
}

void CompletionLogprobs::add(const TokenInfo& token) {
  const std::string text = name(token.id);
  logprobs_.emplace_back(logprob_json(token.chosen.logprob));
  base::JsonObject top;
  for (size_t i = 0; i < wanted(token, top_n_); ++i)
    top[names_.of(token.top[i].id)] = logprob_json(token.top[i].logprob);
  top[text] = logprob_json(token.chosen.logprob);
  tops_.emplace_back(std::move(top));
}

base::JsonValue CompletionLogprobs::take() {
  base::JsonObject out;
  out["text_offset"] = std::move(offsets_);
  out["token_logprobs"] = std::move(logprobs_);
  out["tokens"] = std::move(tokens_);
  out["top_logprobs"] = std::move(tops_);
  return out;
}

base::JsonValue chat_logprobs(const LogprobNames& names, int top_n, const std::vector<TokenInfo>& tokens) {
  base::JsonArray content;
  for (const TokenInfo& token : tokens) {
    base::JsonObject entry = chat_entry(names, token.chosen);
    base::JsonArray top;
    for (size_t i = 0; i < wanted(token, top_n); ++i) top.emplace_back(chat_entry(names, token.top[i]));
    entry["top_logprobs"] = std::move(top);
    content.emplace_back(std::move(entry));
  }
  return base::JsonObject{{"content", std::move(content)}};
}

base::JsonValue prompt_logprobs(const LogprobNames& names, const std::vector<TokenInfo>& tokens) {
  base::JsonArray out;
  out.emplace_back(nullptr);
  for (const TokenInfo& token : tokens) {
    base::JsonObject entry;
    entry[absl::StrCat(token.chosen.id)] = prompt_entry(names, token.chosen);
    for (const engine::TokenLogprob& top : token.top) entry[absl::StrCat(top.id)] = prompt_entry(names, top);
    out.emplace_back(std::move(entry));
  }
  return out;
}

}  // namespace polymath::api
