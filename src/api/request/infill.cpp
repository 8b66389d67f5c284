#include "api/request/infill.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

// Sorted by how many models use them.
constexpr InfillTokens kFamilies[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"}, {"▁<PRE>", "▁<SUF>", "▁<MID>"},
    {"[PREFIX]", "[SUFFIX]", "", /*suffix_first=*/true},
};

}  // namespace

std::optional<InfillTokens> find_infill(const text::Tokenizer& tokenizer) {
  std::set<std::string, std::less<>> found;
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string text = tokenizer.token_text(static_cast<text::TokenId>(id));
    const bool is_one = std::any_of(std::begin(kFamilies), std::end(kFamilies), [&](const InfillTokens& family) {
      return text == family.prefix || text == family.suffix || text == family.middle;
    });
    if (is_one && !text.empty()) found.insert(std::move(text));
  }
  const auto has = [&](std::string_view text) { return text.empty() || found.contains(text); };
  for (const InfillTokens& family : kFamilies) {
    if (has(family.prefix) && has(family.suffix) && has(family.middle)) return family;
  }
  return std::nullopt;
}

std::string infill_prompt(const InfillTokens& tokens, std::string_view prefix, std::string_view suffix) {
  const std::string before = absl::StrCat(std::string(tokens.prefix), std::string(prefix));
  const std::string after = absl::StrCat(std::string(tokens.suffix), std::string(suffix));
  return absl::StrCat(tokens.suffix_first ? after + before : before + after, std::string(tokens.middle));
}

}  // namespace polymath::api
