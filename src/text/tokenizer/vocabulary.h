#pragma once

// Token id <-> its spelling, of the model and the added tokens together.
// Ids may have holes (a hole spells "" and is found by no text).
// Thread safety: const methods may run at once on many threads.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "text/tokenizer.h"

namespace polymath::text {

class Vocabulary {
 public:
  explicit Vocabulary(const TokenizerLimits& limits) : limits_(limits) {}

  // kInvalidArgument: an id out of range or taken, a text with another id, a token too long.
  // The same pair again is fine.
  absl::Status add(std::string_view text, int64_t id);
  // The same, but a text that is taken stays with its first id; the new id only spells it.
  absl::Status add_behind(std::string_view text, int64_t id);

  std::optional<TokenId> find(std::string_view text) const;
  std::string_view text(TokenId id) const;  // "": no such id
  bool has(TokenId id) const;
  size_t size() const { return texts_.size(); }  // highest id + 1

  void set_special(TokenId id) { special_[id] = true; }
  bool is_special(TokenId id) const { return has(id) && special_[id]; }

  // The ids of <0x00> ... <0xFF>, 256 of them; -1: not there.
  std::vector<TokenId> byte_tokens() const;

 private:
  absl::Status check(std::string_view text, int64_t id) const;
  absl::Status place(std::string_view text, TokenId id);

  TokenizerLimits limits_;
  std::vector<std::string> texts_;
  std::vector<bool> present_;
  std::vector<bool> special_;
  absl::flat_hash_map<std::string, TokenId> ids_;
};

}  // namespace polymath::text
