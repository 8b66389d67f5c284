#include "text/tokenizer/vocabulary.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace polymath::text {

absl::Status Vocabulary::add(std::string_view text, int64_t id) {
  const std::string spelling(text);
  if (text.size() > limits_.token_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("token ", id, ": ", text.size(), " bytes; at most ", limits_.token_bytes_max));
  }
  if (id < 0 || static_cast<uint64_t>(id) >= limits_.vocab_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("token \"", spelling, "\": id ", id, " is outside of 0 .. ", limits_.vocab_max - 1));
  }
  const auto [entry, is_new] = ids_.try_emplace(spelling, static_cast<TokenId>(id));
  if (!is_new) {
    if (entry->second == id) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("token \"", spelling, "\": has both id ", entry->second, " and id ", id));
  }
  if (static_cast<size_t>(id) >= texts_.size()) {
    texts_.resize(id + 1);
    present_.resize(id + 1);
    special_.resize(id + 1);
  }
  if (present_[id]) {
    return absl::InvalidArgumentError(
        absl::StrCat("id ", id, ": stands for both \"", texts_[id], "\" and \"", spelling, "\""));
  }
  texts_[id] = spelling;
  present_[id] = true;
  return absl::OkStatus();
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
