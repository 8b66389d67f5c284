#include "text/tokenizer/vocabulary.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace polymath::text {

absl::Status Vocabulary::check(std::string_view text, int64_t id) const {
  if (text.size() > limits_.token_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("token ", id, ": ", text.size(), " bytes; at most ", limits_.token_bytes_max));
  }
  if (id < 0 || static_cast<uint64_t>(id) >= limits_.vocab_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("token \"", std::string(text), "\": id ", id, " is outside of 0 .. ", limits_.vocab_max - 1));
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::place(std::string_view text, TokenId id) {
  if (static_cast<size_t>(id) >= texts_.size()) {
    texts_.resize(id + 1);
    present_.resize(id + 1);
    special_.resize(id + 1);
  }
  if (present_[id]) {
    return absl::InvalidArgumentError(
        absl::StrCat("id ", id, ": stands for both \"", texts_[id], "\" and \"", std::string(text), "\""));
  }
  texts_[id] = std::string(text);
  present_[id] = true;
  return absl::OkStatus();
}

absl::Status Vocabulary::add(std::string_view text, int64_t id) {
  RETURN_IF_ERROR(check(text, id));
  const auto [entry, is_new] = ids_.try_emplace(std::string(text), static_cast<TokenId>(id));
  if (is_new) return place(text, static_cast<TokenId>(id));
  if (entry->second == id) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("token \"", std::string(text), "\": has both id ", entry->second, " and id ", id));
}

absl::Status Vocabulary::add_behind(std::string_view text, int64_t id) {
  RETURN_IF_ERROR(check(text, id));
  const auto [entry, is_new] = ids_.try_emplace(std::string(text), static_cast<TokenId>(id));
  if (!is_new && entry->second == id) return absl::OkStatus();
  return place(text, static_cast<TokenId>(id));
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const auto found = ids_.find(absl::string_view(text.data(), text.size()));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

bool Vocabulary::has(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < texts_.size() && present_[id]; }

std::string_view Vocabulary::text(TokenId id) const { return has(id) ? std::string_view(texts_[id]) : ""; }

std::vector<TokenId> Vocabulary::byte_tokens() const {
  std::vector<TokenId> ids(256);
  for (int byte = 0; byte < 256; ++byte) ids[byte] = find(absl::StrFormat("<0x%02X>", byte)).value_or(-1);
  return ids;
}

}  // namespace polymath::text
