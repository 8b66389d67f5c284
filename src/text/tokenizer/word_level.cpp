#include "text/tokenizer/word_level.h"

namespace polymath::text {
namespace {

class WordLevel final : public TokenModel {
 public:
  WordLevel(std::shared_ptr<const Vocabulary> vocabulary, std::optional<TokenId> unknown)
      : vocabulary_(std::move(vocabulary)), unknown_(unknown) {}

  void encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const override {
    std::optional<TokenId> id = vocabulary_->find(word);
    if (!id) id = unknown_;
    if (!id) return;
    ids.push_back(*id);
    if (spans != nullptr) spans->push_back({0, static_cast<uint32_t>(word.size())});
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
