#include "text/tokenizer/word_level.h"

namespace polymath::text {
namespace {

class WordLevel final : public TokenModel {
 public:
  WordLevel(std::shared_ptr<const Vocabulary> vocabulary, std::optional<TokenId> unknown)
      : vocabulary_(std::move(vocabulary)), unknown_(unknown) {}

  void encode(std::string_view word, std::vector<TokenId>& ids) const override {
    const auto found = vocabulary_->find(word);
    if (found) {
      ids.push_back(*found);
    } else if (unknown_) {
      ids.push_back(*unknown_);
    }
  }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::optional<TokenId> unknown_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> read_word_level(const base::JsonValue& node,
                                                            std::shared_ptr<const Vocabulary> vocabulary) {
  base::JsonReader reader(node, "model");
  const std::string unknown = reader.s("unk_token", "");
  RETURN_IF_ERROR(reader.status());
  const auto id = vocabulary->find(unknown);
  return std::make_unique<WordLevel>(std::move(vocabulary), id);
}

}  // namespace polymath::text
