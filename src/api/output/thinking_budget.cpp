#include "api/output/thinking_budget.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/served_model.h"
#include "api/status.h"
#include "text/utf8.h"

namespace polymath::api {
namespace {

using text::grammar::kSpecialMark;

constexpr int kOverrunMax = 3;  // tokens beyond the budget that end a character
constexpr std::string_view kBlank = " \t\r\n";

template <typename List>
bool contains(const List& list, int32_t id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

absl::Status refused(std::string message) { return invalid(kThinkingBudgetField, std::move(message)); }

std::string_view without_special_mark(std::string_view bytes) {
  if (bytes.starts_with(kSpecialMark)) bytes.remove_prefix(1);
  return bytes;
}

// Whether the text ends within a character.
bool is_open(std::string_view text) {
  size_t n = 1;
  while (n < 4 && n < text.size() && (static_cast<uint8_t>(text[text.size() - n]) & 0xC0) == 0x80) ++n;
  if (n > text.size()) return false;
  const std::string_view last = text.substr(text.size() - n);
  return text::decode_utf8(last).open;
}

class BudgetMask : public engine::TokenMask {
 public:
  BudgetMask(ThinkingBudgetPtr budget, std::shared_ptr<engine::TokenMask> inner)
      : budget_(std::move(budget)),
        inner_(std::move(inner)),
        parser_(text::make_output_parser(budget_->format, budget_->options)) {
    begin_forcing_if_spent();
  }

  void fill(std::span<uint64_t> allowed) override {
    if (inner_ != nullptr) inner_->fill(allowed);
    if (at_ < budget_->end.size()) return keep_only(allowed, budget_->end[at_]);
    if (!is_behind_end_) return;
    for (const int32_t id : budget_->reopens) word_of(allowed, id) &= ~bit_of(id);
  }

  void accept(int32_t id) override {
    if (inner_ != nullptr) inner_->accept(id);
    const bool is_forced = at_ < budget_->end.size() && id == budget_->end[at_];
    const bool was_in_text = parser_->in_reasoning_text();
    read(id);
    n_tokens_ += !is_forced && was_in_text && parser_->in_reasoning_text() ? 1 : 0;
    if (is_forced && ++at_ < budget_->end.size()) return;
    is_behind_end_ = is_forced || (is_behind_end_ && is_blank_);
    begin_forcing_if_spent();
  }

 private:
  static uint64_t& word_of(std::span<uint64_t> words, int32_t id) { return words[static_cast<size_t>(id) / 64]; }
  static uint64_t bit_of(int32_t id) { return uint64_t{1} << (static_cast<size_t>(id) % 64); }

  // What the inner mask forbids here it may allow behind the next token.
  static void keep_only(std::span<uint64_t> allowed, int32_t id) {
    if ((word_of(allowed, id) & bit_of(id)) == 0) return;
    std::fill(allowed.begin(), allowed.end(), 0);
    word_of(allowed, id) = bit_of(id);
  }

  void read(int32_t id) {
    const std::string_view text = without_special_mark(budget_->vocabulary->bytes(id));
    is_blank_ = text.find_first_not_of(kBlank) == std::string_view::npos;
    tail_ += text;
    tail_.erase(0, tail_.size() - std::min<size_t>(tail_.size(), 4));
    last_ids_.push_back(id);
    if (last_ids_.size() > budget_->end.size()) last_ids_.erase(last_ids_.begin());
    parser_->push(text, events_);
    events_.clear();
  }

  // Goes on from what the model itself has written of the end.
  void begin_forcing_if_spent() {
    const std::vector<int32_t>& end = budget_->end;
    at_ = end.size();
    if (!parser_->in_reasoning_text() || n_tokens_ < budget_->tokens_max) return;
    if (is_open(tail_) && n_tokens_ - budget_->tokens_max < kOverrunMax) return;
    size_t n_written = std::min(end.size() - 1, last_ids_.size());
    while (!std::equal(end.begin(), end.begin() + n_written, last_ids_.end() - n_written)) --n_written;
    at_ = n_written;
  }

  const ThinkingBudgetPtr budget_;
  const std::shared_ptr<engine::TokenMask> inner_;
  const std::unique_ptr<text::OutputParser> parser_;
  text::OutputEvents events_;      // not read
  std::string tail_;               // the last bytes
  std::vector<int32_t> last_ids_;  // at most as many as the end has
  int n_tokens_ = 0;               // of the reasoning so far
  size_t at_ = 0;                  // of the end: the next id to force; its size: none
  bool is_blank_ = true;           // the last token
  bool is_behind_end_ = false;     // nothing but blanks followed the forced end
};

bool is_id(const ServedModel& model, int32_t id) { return id >= 0 && id < model.vocab; }

// The end's text. Where calls may follow gpt-oss's reasoning, the model chooses the next channel.
std::string end_of(const OutputPlan& output) {
  if (!output.format.is_harmony()) return std::string(output.format.reasoning->ends.front());
  return output.format.calls != nullptr ? "<|end|><|start|>assistant<|channel|>"
                                        : "<|end|><|start|>assistant<|channel|>final<|message|>";
}

std::vector<int32_t> reopening_ids(const ServedModel& model, const OutputPlan& output) {
  std::vector<int32_t> out;
  const auto add = [&](std::string_view mark, bool is_whole) {
    const std::vector<int32_t> ids = model.tokenizer->encode(mark, /*add_special=*/false);
    if (ids.empty() || (is_whole && ids.size() > 1) || !is_id(model, ids.front())) return;
    out.push_back(ids.front());
  };
  if (output.format.is_harmony()) {
    if (output.format.calls != nullptr) add("analysis", /*is_whole=*/false);
    return out;
  }
  for (const std::string_view mark : output.format.reasoning->begins) add(mark, /*is_whole=*/true);
  return out;
}

// A forced id that the sampler excludes would end the request with an error.
absl::Status check_sampling(const engine::SamplingParams& sampling, const std::vector<int32_t>& end) {
  const auto any_of_end = [&](const std::vector<int32_t>& ids) {
    return std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return contains(end, id); });
  };
  const bool all_allowed = sampling.allowed_ids.empty() || std::all_of(end.begin(), end.end(), [&](int32_t id) {
                             return contains(sampling.allowed_ids, id);
                           });
  if (!all_allowed) return refused("allowed_token_ids lacks a token of the mark that ends the reasoning");
  for (const std::vector<int32_t>& word : sampling.bad_ids) {
    if (contains(end, word.back())) return refused("bad_words has a token of the mark that ends the reasoning");
  }
  const bool may_stop = any_of_end(sampling.stop_ids) || (!sampling.ignore_eos && any_of_end(sampling.eos_ids));
  if (sampling.min_tokens == 0 || !may_stop) return absl::OkStatus();
  return refused("min_tokens forbids a token of the mark that ends the reasoning, which is a stop token");
}

}  // namespace

absl::StatusOr<ThinkingBudgetPtr> make_thinking_budget(const ServedModel& model, const OutputPlan& output,
                                                       const engine::SamplingParams& sampling, int tokens_max) {
  if (tokens_max < 0) return nullptr;
  RETURN_IF_ERROR(need_tokenizer(model, kThinkingBudgetField));
  if (model.grammars == nullptr) return not_built(kThinkingBudgetField, "needs a model loaded with its tokenizer");
  if (output.format.reasoning == nullptr) {
    return refused("this model's reasoning has no known format; --reasoning-parser names one");
  }
  ThinkingBudget budget{.tokens_max = tokens_max, .format = output.format, .options = output.options};
  budget.vocabulary = model.grammars->vocabulary();
  const std::string mark = end_of(output);
  budget.end = model.tokenizer->encode(mark, /*add_special=*/false);
  std::string written;
  for (const int32_t id : budget.end) written += without_special_mark(budget.vocabulary->bytes(id));
  const bool all_ids = std::all_of(budget.end.begin(), budget.end.end(), [&](int32_t id) { return is_id(model, id); });
  if (!all_ids || !written.ends_with(mark)) return refused(absl::StrCat("the tokenizer cannot write ", mark));
  RETURN_IF_ERROR(check_sampling(sampling, budget.end));
  if (sampling.allowed_ids.empty()) budget.reopens = reopening_ids(model, output);
  return std::make_shared<const ThinkingBudget>(std::move(budget));
}

std::shared_ptr<engine::TokenMask> within_budget(ThinkingBudgetPtr budget, std::shared_ptr<engine::TokenMask> inner) {
  if (budget == nullptr) return inner;
  return std::make_shared<BudgetMask>(std::move(budget), std::move(inner));
}

}  // namespace polymath::api
