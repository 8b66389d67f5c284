#include "api/token_texts.h"

#include <algorithm>
#include <utility>

#include "text/token_bytes.h"
#include "text/utf8.h"

namespace polymath::api {
namespace {

// Ids of the prompt that are looked at for a character without its end. Each has at least one of its bytes.
constexpr size_t kCharacterIdsMax = 4;

// Moves the whole characters of `bytes` to the result. Invalid sequences become U+FFFD; an unfinished one stays.
std::string take_whole(std::string& bytes) {
  std::string text;
  size_t at = 0;
  while (at < bytes.size()) {
    const text::CodePoint c = text::decode_utf8(std::string_view(bytes).substr(at));
    if (!c.valid && c.open) break;
    text::append_utf8(text, c.value);
    at += static_cast<size_t>(c.bytes);
  }
  bytes.erase(0, at);
  return text;
}

}  // namespace

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

TokenTexts::TokenTexts(const ServedModel& model, std::span<const int32_t> before, bool skip_special)
    : model_(&model), skip_special_(skip_special) {
  if (model.tokenizer == nullptr) return;
  const auto has_text = [&](int32_t id) { return !skip_special || !model.tokenizer->is_special(id); };
  at_start_ = std::none_of(before.begin(), before.end(), has_text);
  for (const int32_t id : before.last(std::min(before.size(), kCharacterIdsMax))) take(id);
  characters_ = 0;
}

TokenTexts::Step TokenTexts::step(int32_t id) const {
  if (model_->tokenizer == nullptr) return {};
  const bool special = model_->tokenizer->is_special(id);
  Step step{.open = open_, .in_text = !special || !skip_special_};
  const std::span<const int32_t> anchor = at_start_ && !special ? std::span<const int32_t>() : model_->anchor;
  step.shown.bytes = text::token_bytes(*model_->tokenizer, anchor, id);
  if (!step.in_text) {
    step.shown.text = step.shown.bytes;
    return step;
  }
  step.open += step.shown.bytes;
  step.shown.text = take_whole(step.open);
  return step;
}

TokenText TokenTexts::peek(int32_t id) const { return step(id).shown; }

TokenText TokenTexts::take(int32_t id) {
  Step next = step(id);
  open_ = std::move(next.open);
  if (next.in_text) {
    at_start_ = at_start_ && next.shown.bytes.empty();
    characters_ += count_characters(next.shown.text);
  }
  return std::move(next.shown);
}

}  // namespace polymath::api
