// Fuzzes streaming detokenization. Deltas join to the whole decode, each of them whole UTF-8, and every token costs the
// same. With stop strings the text ends where a search over the whole finds them.
//
// Input: a byte for tokenizer and options, a byte for the length of the prompt, then two bytes an id.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "small_tokenizers.h"
#include "text/counting_tokenizer_test.h"
#include "text/detokenizer.h"
#include "text/utf8.h"

namespace {

using namespace polymath::text;  // NOLINT(google-build-using-namespace)

constexpr size_t kDecodedMost = 64 * 70;  // ids decoded for one push, in a window of 64

// The text up to the stop string that ends first; of several the longest.
std::string cut_at_stop(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      const bool ends_here = stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0;
      if (ends_here) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

std::string stream(const Tokenizer& tokenizer, std::span<const TokenId> prompt, std::span<const TokenId> ids,
                   const DetokenizerOptions& options) {
  const CountingTokenizer counting(tokenizer);
  Detokenizer detokenizer(counting, prompt, options);
  std::string out;
  const auto take = [&](const std::string& delta) {
    CHECK(sanitize_utf8(delta) == delta);
    out += delta;
  };
  for (const TokenId id : ids) {
    counting.decoded = 0;
    take(detokenizer.push(id));
    CHECK(counting.decoded <= kDecodedMost);
  }
  take(detokenizer.finish());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const tokenizers = new auto(polymath::fuzz::small_tokenizers());
  if (size < 2) return 0;
  const Tokenizer& tokenizer = *(*tokenizers)[data[0] % tokenizers->size()];
  const bool skip = data[0] & 64, stops = data[0] & 128;
  std::vector<TokenId> ids;
  for (size_t i = 2; i + 1 < size; i += 2) {  // some are beyond the vocabulary
    ids.push_back(static_cast<TokenId>((data[i] | data[i + 1] << 8) % (tokenizer.vocab_size() + 2)));
  }
  const size_t n_prompt = std::min<size_t>(data[1], ids.size());
  const std::span<const TokenId> all(ids), prompt = all.first(n_prompt), answer = all.subspan(n_prompt);
  const std::string whole = tokenizer.decode(all, skip), before = tokenizer.decode(prompt, skip);
  const bool whole_prompt = whole.starts_with(before) && !before.ends_with(kReplacementUtf8);
  DetokenizerOptions options{.skip_special = skip};
  if (n_prompt == 0 || whole_prompt) CHECK(before + stream(tokenizer, prompt, answer, options) == whole);
  if (!stops) return 0;
  options.stop = {"Stop", "\n\n", "op!",
                  "\xEF\xBF\xBD"
                  "a"};
  CHECK(stream(tokenizer, {}, all, options) == cut_at_stop(whole, options.stop));
  return 0;
}
