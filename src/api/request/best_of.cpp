#include "api/request/best_of.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace polymath::api {
namespace {

double sum_of_logprobs(const CollectedChoice& choice) {
  double sum = 0;
  for (const TokenInfo& token : choice.tokens) sum += token.chosen.logprob;
  return sum;
}

}  // namespace

std::vector<CollectedChoice> keep_best(std::vector<CollectedChoice> choices, int candidates, int n) {
  if (candidates == n) return choices;
  std::vector<CollectedChoice> kept;
  for (auto begin = choices.begin(); begin != choices.end();) {
    const auto end = begin + candidates;
    std::vector<TokenInfo> prompt_tokens = std::move(begin->prompt_tokens);
    std::stable_sort(begin, end, [](const CollectedChoice& a, const CollectedChoice& b) {
      return sum_of_logprobs(a) > sum_of_logprobs(b);
    });
    begin->prompt_tokens = std::move(prompt_tokens);
    std::move(begin, begin + n, std::back_inserter(kept));
    begin = end;
  }
  return kept;
}

void put_best_first(std::vector<CollectedChoice>& choices) {
  const auto mean = [](const CollectedChoice& choice) {
    return sum_of_logprobs(choice) / std::max<double>(1, static_cast<double>(choice.tokens.size()));
  };
  const auto best =
      std::max_element(choices.begin(), choices.end(), [&](const auto& a, const auto& b) { return mean(a) < mean(b); });
  std::rotate(choices.begin(), best, best + 1);
}

}  // namespace polymath::api
