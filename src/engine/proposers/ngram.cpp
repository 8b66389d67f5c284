// Prompt lookup: finds a sequence's last tokens earlier in it. Proposes the tokens that followed there. The longest
// match wins. Among equals the earliest wins: most tokens follow it. Source: Saxena, "Prompt Lookup Decoding", 2023.
//
// The search is that of Knuth, Morris and Pratt (SIAM J. Comput. 6, 1977) over the reversed tokens. A match of the
// pattern's prefix is then a match of a shorter suffix.
//
// Bounds: kWindow tokens of a sequence, kStepTokensMax tokens in a step. Each is compared about twice. Sequences beyond
// get no drafts in this step.

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "engine/proposers/proposer.h"

namespace polymath::engine {
namespace {

constexpr int kWindow = 1 << 14;         // tokens of a sequence; earlier ones are not looked at
constexpr int kStepTokensMax = 1 << 17;  // of all sequences in a step; beyond: no drafts in this step

class Ngram : public Proposer {
 public:
  explicit Ngram(const SpeculationOptions& options) : min_(options.lookup_min), max_(options.lookup_max) {}

  void begin_step() override { tokens_left_ = kStepTokensMax; }

  std::span<const int32_t> propose(const Sequence& sequence, int max) override {
    const std::span<const int32_t> tokens(sequence.tokens);
    const std::span<const int32_t> window = tokens.last(std::min<size_t>(tokens.size(), kWindow));
    tokens_left_ -= static_cast<int>(window.size());
    if (tokens_left_ < 0) return {};
    const size_t end = match_end(window);
    return window.subspan(end, std::min<size_t>(window.size() - end, static_cast<size_t>(max)));
  }

 private:
  // The end of the best earlier match; tokens.size(): there is none.
  size_t match_end(std::span<const int32_t> tokens) {
    const int n = static_cast<int>(tokens.size()), length = std::min(max_, n - 1);
    if (length < min_) return tokens.size();
    const auto reversed = [&](int i) { return tokens[n - 1 - i]; };
    // border_[i]: length of the longest proper prefix of the pattern's first i + 1 tokens that is also a suffix.
    border_[0] = 0;
    for (int i = 1, k = 0; i < length; ++i) {
      while (k > 0 && reversed(i) != reversed(k)) k = border_[k - 1];
      k += reversed(i) == reversed(k);
      border_[i] = k;
    }
    int best = 0, best_at = 0;
    for (int i = 1, k = 0; i < n; ++i) {
      if (k == length) k = border_[k - 1];
      while (k > 0 && reversed(i) != reversed(k)) k = border_[k - 1];
      k += reversed(i) == reversed(k);
      if (k >= std::max(best, 1)) best = k, best_at = i;
    }
    if (best < min_) return tokens.size();
    return static_cast<size_t>(n - 1 - best_at + best);
  }

  const int min_, max_;
  std::array<int, kLookupTokensMax> border_{};
  int tokens_left_ = 0;
};

absl::Status check(const SpeculationOptions& options) {
  if (1 <= options.lookup_min && options.lookup_min <= options.lookup_max && options.lookup_max <= kLookupTokensMax) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("1 <= prompt_lookup_min <= prompt_lookup_max <= ", kLookupTokensMax,
                                                 " must hold; they are ", options.lookup_min, " and ",
                                                 options.lookup_max));
}

std::unique_ptr<Proposer> create(const SpeculationOptions& options) { return std::make_unique<Ngram>(options); }

}  // namespace

extern const ProposerKind kNgram{"ngram", check, create};

}  // namespace polymath::engine
