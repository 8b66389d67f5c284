#include "text/detokenizer.h"

#include <algorithm>

#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr size_t kWindowIdsMax = 32;      // beyond: the front of the window is dropped
constexpr size_t kWindowIdsHardMax = 64;  // beyond: one of its ids is dropped, though its text may change
constexpr size_t kContextIds = 8;         // of it stay at least
constexpr size_t kHeldCharactersMax = 3;  // a character lacks at most its last byte, so three bytes of it are here

// Bytes of U+FFFD at the end that could be a character still without its end.
size_t held_bytes(std::string_view text) {
  size_t held = 0;
  while (held < kHeldCharactersMax * kReplacementUtf8.size() &&
         text.substr(0, text.size() - held).ends_with(kReplacementUtf8)) {
    held += kReplacementUtf8.size();
  }
  return held;
}

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, std::span<const TokenId> prompt, DetokenizerOptions options)
    : tokenizer_(tokenizer), options_(std::move(options)) {
  for (const auto& stop : options_.stop) {
    if (!stop.empty()) stops_.emplace_back(stop);
  }
  // Keep enough of the prompt to have a text. A decoder drops a blank at the beginning, and the answer is none.
  for (size_t n = kContextIds;; n *= 2) {
    n = std::min(n, prompt.size());
    window_.assign(prompt.end() - static_cast<ptrdiff_t>(n), prompt.end());
    if (!options_.shown.empty()) std::erase_if(window_, [this](TokenId id) { return is_skipped(id); });
    const std::string text = decode(window_);
    const size_t held = held_bytes(text);
    emitted_bytes_ = text.size() - held;
    if (emitted_bytes_ > 0 || n == prompt.size()) return;
  }
}

bool Detokenizer::is_skipped(TokenId id) const {
  if (!options_.skip_special || !tokenizer_.is_special(id)) return false;
  return std::find(options_.shown.begin(), options_.shown.end(), id) == options_.shown.end();
}

// Of a window, which has skipped ids only where the tokenizer leaves them out itself.
std::string Detokenizer::decode(std::span<const TokenId> ids) const {
  return tokenizer_.decode(ids, options_.skip_special && options_.shown.empty());
}

std::string Detokenizer::push(TokenId id) {
  if (stopped() || is_skipped(id)) return "";
  window_.push_back(id);
  const std::string text = decode(window_);
  const size_t held = held_bytes(text);
  const size_t ready = text.size() - held;
  std::string delta;
  if (ready > emitted_bytes_) {
    delta = release(std::string_view(text).substr(emitted_bytes_, ready - emitted_bytes_));
    emitted_bytes_ = ready;
  }
  if (window_.size() > kWindowIdsMax && !shorten_window(held)) drop_silent_id(text);
  return delta;
}

// Keeps the shortest run of last ids that has a text of its own before the text held back. With it as context, the
// decoder treats new ids as it would behind all ids.
bool Detokenizer::shorten_window(size_t held) {
  for (size_t n = kContextIds; n < window_.size(); n *= 2) {
    const std::span<const TokenId> tail(window_.data() + window_.size() - n, n);
    const std::string text = decode(tail);
    if (held_bytes(text) != held || text.size() <= held) continue;
    window_.erase(window_.begin(), window_.end() - static_cast<ptrdiff_t>(n));
    emitted_bytes_ = text.size() - held;
    return true;
  }
  return false;
}

// Of a long run of ids without a text, removes one that is not among the last. Some decoders read such an id by its
// neighbours, as a blank at the beginning, so the text must stay.
void Detokenizer::drop_silent_id(std::string_view text) {
  const size_t last = window_.size() - 1 - kContextIds;
  for (size_t i = last + 1; i-- > 0;) {
    if (!decode(std::span<const TokenId>(&window_[i], 1)).empty()) continue;
    std::vector<TokenId> without = window_;
    without.erase(without.begin() + static_cast<ptrdiff_t>(i));
    if (decode(without) != text) continue;
    window_ = std::move(without);
    return;
  }
  if (window_.size() <= kWindowIdsHardMax) return;
  window_.erase(window_.begin() + static_cast<ptrdiff_t>(last));
  const std::string left = decode(window_);
  emitted_bytes_ = left.size() - held_bytes(left);
}

std::string Detokenizer::finish() {
  if (stopped()) return "";
  const std::string text = decode(window_);
  std::string rest;
  if (text.size() > emitted_bytes_) rest = release(std::string_view(text).substr(emitted_bytes_));
  emitted_bytes_ = text.size();
  if (!stopped()) rest += pending_;
  pending_.clear();
  return rest;
}

std::string Detokenizer::release(std::string_view fresh) {
  for (const char byte : fresh) {
    pending_.push_back(byte);
    const StopMatcher* met = nullptr;
    for (auto& stop : stops_) {
      if (stop.push(byte) && (met == nullptr || stop.text().size() > met->text().size())) met = &stop;
    }
    if (met == nullptr) continue;
    stop_met_ = met->text();
    std::string out = std::move(pending_);
    pending_.clear();
    if (!options_.include_stop) out.resize(out.size() - stop_met_.size());
    return out;
  }
  size_t hold = 0;
  for (const auto& stop : stops_) hold = std::max(hold, stop.matched());
  std::string out = pending_.substr(0, pending_.size() - hold);
  pending_.erase(0, out.size());
  return out;
}

}  // namespace polymath::text
