// A model that wants to write a given text, token by token, and what the mask makes of it.

#include "api/output/thinking_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "api/request/structure.h"
#include "api/served_model.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using text::TokenId;
using Words = std::vector<std::string>;

// Ids are places in a list of texts. A text is read as the longest of them, from its beginning on.
class ListTokenizer : public text::Tokenizer {
 public:
  explicit ListTokenizer(Words texts) : texts_(std::move(texts)) {}

  std::vector<TokenId> encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    while (!text.empty()) {
      TokenId best = -1;
      for (size_t id = 0; id < texts_.size(); ++id) {
        if (text.starts_with(texts_[id]) && (best < 0 || texts_[id].size() > texts_[static_cast<size_t>(best)].size()))
          best = static_cast<TokenId>(id);
      }
      if (best < 0) return {};
      ids.push_back(best);
      text.remove_prefix(texts_[static_cast<size_t>(best)].size());
    }
    return ids;
  }
  std::vector<text::TextToken> encode_with_offsets(std::string_view, bool, const text::EncodeBounds&) const override {
    return {};
  }
  std::string decode(std::span<const TokenId> ids, bool) const override {
    std::string out;
    for (const TokenId id : ids) out += token_text(id);
    return out;
  }
  std::string token_text(TokenId id) const override { return texts_[static_cast<size_t>(id)]; }
  bool is_special(TokenId id) const override { return token_text(id).starts_with("<|"); }
  size_t vocab_size() const override { return texts_.size(); }
  std::optional<TokenId> bos_id() const override { return std::nullopt; }
  std::optional<TokenId> eos_id() const override { return std::nullopt; }

 private:
  const Words texts_;
};

// Byte by byte: the first two and the last one of a character, which are no text alone.
const Words kTexts = {"a",       "b",         "c",           "Yes",          "\n",
                      "\xE4",    "\xBD",      "\xA0",        "</",           "think",
                      ">",       "{}",        "analysis",    "final",        "commentary",
                      "<|end|>", "<|start|>", "<|channel|>", "assistant",    "<|message|>",
                      "<think>", "</think>",  "<tool_call>", "</tool_call>", "{\"name\": \"f\", \"arguments\": {}}"};

ServedModel model_of(Words texts) {
  ServedModel model;
  model.names = {"m"};
  model.vocab = static_cast<int>(texts.size());
  model.tokenizer = std::make_shared<ListTokenizer>(std::move(texts));
  complete_tokenizer_facts(model);
  return model;
}

OutputPlan plan_of(const char* reasoning, const char* calls, bool is_inside) {
  OutputPlan out;
  out.format = {.calls = text::find_call_format(calls), .reasoning = text::find_reasoning_format(reasoning)};
  out.options.in_reasoning = is_inside;
  return out;
}

std::vector<TokenId> allowed_ids(engine::TokenMask& mask, int vocab) {
  std::vector<uint64_t> words(static_cast<size_t>(vocab + 63) / 64, ~uint64_t{0});
  mask.fill(words);
  std::vector<TokenId> out;
  for (TokenId id = 0; id < vocab; ++id) {
    if ((words[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0) out.push_back(id);
  }
  return out;
}

// The place behind the next "|".
size_t behind_bar(const Words& wanted, size_t at) {
  while (at < wanted.size() && wanted[at] != "|") ++at;
  return std::min(at + 1, wanted.size());
}

// What is written under the mask. "|" in `wanted`: the model goes on from here once its reasoning was ended for it. A
// wanted token that is forbidden is left out.
std::string written(const ServedModel& model, engine::TokenMask& mask, const Words& wanted) {
  std::string out;
  bool was_forced = false;
  for (size_t at = 0, n_steps = 0; n_steps < 100; ++n_steps) {
    const std::vector<TokenId> allowed = allowed_ids(mask, model.vocab);
    if (allowed.empty()) return out + " NOTHING ALLOWED";
    TokenId id = allowed.front();
    if (allowed.size() > 1) {
      if (std::exchange(was_forced, false)) at = behind_bar(wanted, at);
      if (at == wanted.size()) return out;
      const std::vector<TokenId> ids = model.tokenizer->encode(wanted[at++], false);
      EXPECT_EQ(ids.size(), 1U) << wanted[at - 1];
      id = ids.front();
      if (std::find(allowed.begin(), allowed.end(), id) == allowed.end()) continue;
    } else if (at < wanted.size() && wanted[at] == model.tokenizer->token_text(id)) {
      ++at;
    } else {
      was_forced = true;
    }
    out += model.tokenizer->token_text(id);
    mask.accept(id);
  }
  return out + " NO END";
}

struct Case {
  const char* what;
  OutputPlan output;
  int budget;
  Words wanted;
  const char* expected;
};

void check(const ServedModel& model, const Case& row) {
  SCOPED_TRACE(row.what);
  const auto budget = make_thinking_budget(model, row.output, {}, row.budget);
  ASSERT_TRUE(budget.ok()) << budget.status();
  const auto mask = within_budget(*budget, nullptr);
  EXPECT_EQ(written(model, *mask, row.wanted), row.expected);
}

TEST(ThinkingBudget, EndsReasoningBetweenTags) {
  const OutputPlan outside = plan_of("qwen3", "none", false), inside = plan_of("qwen3", "none", true);
  const Words many = {"a", "b", "c", "a", "b", "c", "|", "Yes"};
  const Case cases[] = {
      {"in tags of the model's", outside, 2, {"<think>", "a", "b", "c", "|", "Yes"}, "<think>ab</think>Yes"},
      {"the prompt has begun it", inside, 2, many, "ab</think>Yes"},
      {"nothing, begun by the prompt", inside, 0, many, "</think>Yes"},
      {"nothing, begun by the model", outside, 0, {"<think>", "a", "|", "Yes"}, "<think></think>Yes"},
      {"blanks count", inside, 2, {"\n", "a", "b", "|", "Yes"}, "\na</think>Yes"},
      {"enough", inside, 9, {"a", "b", "</think>", "Yes"}, "ab</think>Yes"},
      {"just enough", inside, 2, {"a", "b", "|", "Yes"}, "ab</think>Yes"},
      {"no reasoning", outside, 0, {"Yes", "a", "b"}, "Yesab"},
      {"the prompt's own end", plan_of("deepseek_r1", "none", false), 0, {"Yes", "a"}, "Yesa"},
      {"words that are no marks", outside, 0, {"Yes", "<think>", "a", "b"}, "Yes<think>ab"},
      {"none is begun behind the end",
       inside,
       1,
       {"a", "b", "|", "<think>", "\n", "<think>", "Yes", "<think>", "c"},
       "a</think>\nYes<think>c"},
      {"two count together",
       outside,
       3,
       {"<think>", "a", "b", "</think>", "\n", "<think>", "a", "b", "|", "Yes"},
       "<think>ab</think>\n<think>a</think>Yes"},
      {"a character is ended", inside, 1, {"\xE4", "\xBD", "\xA0", "a", "|", "Yes"}, "\xE4\xBD\xA0</think>Yes"},
      {"or what is none",
       inside,
       1,
       {"\xE4", "\xE4", "\xE4", "\xE4", "\xE4", "|", "Yes"},
       "\xE4\xE4\xE4\xE4</think>Yes"},
  };
  const ServedModel model = model_of(kTexts);
  for (const Case& row : cases) check(model, row);
}

TEST(ThinkingBudget, AnEndOfSeveralTokensIsGoneOnWith) {
  Words texts = kTexts;
  std::erase_if(texts, [](const std::string& text) { return text == "</think>"; });
  const ServedModel model = model_of(texts);
  const OutputPlan inside = plan_of("qwen3", "none", true);
  const Case cases[] = {
      {"whole", inside, 1, {"a", "b", "|", "Yes"}, "a</think>Yes"},
      {"begun", inside, 2, {"a", "</", "b", "|", "Yes"}, "a</think>Yes"},
      {"nearly whole", inside, 3, {"a", "</", "think", "b", "|", "Yes"}, "a</think>Yes"},
      {"begun twice", inside, 3, {"a", "</", "</", "b", "|", "Yes"}, "a</</think>Yes"},
      {"the model's own", inside, 4, {"a", "</", "think", ">", "Yes"}, "a</think>Yes"},
  };
  for (const Case& row : cases) check(model, row);
}

TEST(ThinkingBudget, ACallWithinReasoningIsNotCut) {
  const std::string call = kTexts.back();
  const std::string whole = "<tool_call>" + call + "</tool_call>";
  const std::string first = "a" + whole + "b</think>Yes", second = "a</think>" + whole;
  const ServedModel model = model_of(kTexts);
  const OutputPlan inside = plan_of("qwen3", "hermes", true);
  check(model,
        {"before the end", inside, 2, {"a", "<tool_call>", call, "</tool_call>", "b", "c", "|", "Yes"}, first.c_str()});
  check(model, {"behind it", inside, 1, {"a", "b", "|", "<tool_call>", call, "</tool_call>"}, second.c_str()});
}

TEST(ThinkingBudget, EndsTheAnalysisChannel) {
  const ServedModel model = model_of(kTexts);
  const OutputPlan text = plan_of("openai_gptoss", "none", false), tools = plan_of("openai_gptoss", "openai", false);
  const Words begin = {"<|channel|>", "analysis", "<|message|>"};
  const auto behind = [&](Words more) {
    Words out = begin;
    out.insert(out.end(), more.begin(), more.end());
    return out;
  };
  const Case cases[] = {
      {"text", text, 2, behind({"a", "b", "c", "|", "Yes"}),
       "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>Yes"},
      {"nothing", text, 0, behind({"a", "|", "Yes"}),
       "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|>Yes"},
      {"no reasoning",
       text,
       0,
       {"<|channel|>", "final", "<|message|>", "analysis", "a"},
       "<|channel|>final<|message|>analysisa"},
      {"a call", tools, 1, behind({"a", "b", "|", "analysis", "commentary", "<|message|>", "analysis"}),
       "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>analysis"},
      {"two messages count together", text, 2,
       behind(
           {"a", "<|end|>", "<|start|>", "assistant", "<|channel|>", "analysis", "<|message|>", "b", "c", "|", "Yes"}),
       "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b"
       "<|end|><|start|>assistant<|channel|>final<|message|>Yes"},
  };
  for (const Case& row : cases) check(model, row);
}

TEST(ThinkingBudget, AFormFollowsTheForcedEnd) {
  const ServedModel model = model_of(kTexts);
  for (const bool is_harmony : {false, true}) {
    const OutputPlan output = is_harmony ? plan_of("openai_gptoss", "none", false) : plan_of("qwen3", "none", true);
    const Form form{"guided_regex", {text::grammar::Language::kRegex, "(a|b)Yes"}};
    const auto grammar = compile_form(model, form, preamble_of(output));
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    const auto budget = make_thinking_budget(model, output, {}, 2);
    ASSERT_TRUE(budget.ok()) << budget.status();
    const auto mask = within_budget(*budget, make_mask(*grammar));
    if (is_harmony) {
      EXPECT_EQ(written(model, *mask, {"<|channel|>", "analysis", "<|message|>", "c", "c", "c", "|", "c", "b"}),
                "<|channel|>analysis<|message|>cc<|end|><|start|>assistant<|channel|>final<|message|>bYes"
                " NOTHING ALLOWED");
    } else {
      EXPECT_EQ(written(model, *mask, {"c", "c", "c", "|", "c", "b"}), "cc</think>bYes NOTHING ALLOWED");
    }
  }
}

// Forbids the end of the reasoning until some tokens are written.
class LateEnd : public engine::TokenMask {
 public:
  explicit LateEnd(TokenId end) : end_(end) {}
  void fill(std::span<uint64_t> allowed) override {
    if (n_ < 4) allowed[static_cast<size_t>(end_) / 64] &= ~(uint64_t{1} << (end_ % 64));
  }
  void accept(TokenId) override { ++n_; }

 private:
  const TokenId end_;
  int n_ = 0;
};

TEST(ThinkingBudget, TheInnerMaskComesFirst) {
  const ServedModel model = model_of(kTexts);
  const auto budget = make_thinking_budget(model, plan_of("qwen3", "none", true), {}, 1);
  ASSERT_TRUE(budget.ok()) << budget.status();
  const auto inner = std::make_shared<LateEnd>(model.tokenizer->encode("</think>", false).front());
  const auto mask = within_budget(*budget, inner);
  EXPECT_EQ(written(model, *mask, {"a", "b", "c", "a", "b", "|", "Yes"}), "abca</think>Yes");
  EXPECT_EQ(within_budget(nullptr, inner), inner);
  EXPECT_EQ(within_budget(nullptr, nullptr), nullptr);
}

// Whatever is sampled, something is allowed, and little more than the budget is reasoning.
TEST(ThinkingBudget, HoldsForAnyTokens) {
  const ServedModel model = model_of(kTexts);
  std::minstd_rand random(7);
  for (int round = 0; round < 400; ++round) {
    const bool is_harmony = round % 2 == 0;
    const OutputPlan output = plan_of(is_harmony ? "openai_gptoss" : "qwen3",
                                      round % 3 == 0 ? "none" : (is_harmony ? "openai" : "hermes"), round % 5 == 0);
    const int tokens_max = round % 4;
    const auto budget = make_thinking_budget(model, output, {}, tokens_max);
    ASSERT_TRUE(budget.ok()) << budget.status();
    const auto mask = within_budget(*budget, nullptr);
    const auto parser = text::make_output_parser(output.format, output.options);
    text::OutputEvents events;
    int n_reasoning = 0;
    for (int step = 0; step < 200; ++step) {
      const std::vector<TokenId> allowed = allowed_ids(*mask, model.vocab);
      ASSERT_FALSE(allowed.empty());
      TokenId id = allowed[random() % allowed.size()];
      if (id >= model.vocab - 4 && random() % 2 == 0) id = allowed.front();  // ids of calls less often
      const bool counts = allowed.size() > 1 && parser->in_reasoning_text();
      parser->push(model.tokenizer->token_text(id), events);
      n_reasoning += counts && parser->in_reasoning_text() ? 1 : 0;
      mask->accept(id);
    }
    EXPECT_LE(n_reasoning, tokens_max + 3);
  }
}

TEST(ThinkingBudget, RefusesWhatItCannotHold) {
  const ServedModel model = model_of(kTexts);
  const TokenId end = model.tokenizer->encode("</think>", false).front();
  ServedModel small = model_of(kTexts);
  small.vocab = end;
  Words texts = kTexts;
  std::erase_if(texts, [](const std::string& text) { return text == "</think>" || text == ">"; });
  const ServedModel wordless = model_of(texts);
  const OutputPlan output = plan_of("qwen3", "none", true);
  engine::SamplingParams allowed, bad, stop, ignored;
  allowed.allowed_ids = {0, 1};
  bad.bad_ids = {{0, end}};
  stop.eos_ids = ignored.eos_ids = {end};
  stop.min_tokens = ignored.min_tokens = 1;
  ignored.ignore_eos = true;
  const struct {
    const ServedModel& model;
    OutputPlan output;
    engine::SamplingParams sampling;
    const char* word;  // of the refusal; empty: there is none
  } rows[] = {
      {model, output, {}, ""},
      {model, output, ignored, ""},
      {model, {}, {}, "--reasoning-parser"},
      {model, plan_of("none", "hermes", false), {}, "--reasoning-parser"},
      {small, output, {}, "cannot write </think>"},
      {wordless, output, {}, "cannot write </think>"},
      {model, output, allowed, "allowed_token_ids"},
      {model, output, bad, "bad_words"},
      {model, output, stop, "min_tokens"},
  };
  for (const auto& row : rows) {
    const auto made = make_thinking_budget(row.model, row.output, row.sampling, 5);
    ASSERT_EQ(made.ok(), *row.word == '\0') << row.word << made.status();
    if (made.ok()) continue;
    EXPECT_NE(made.status().message().find(row.word), std::string::npos) << made.status();
    EXPECT_EQ(field_of(made.status()), kThinkingBudgetField);
    EXPECT_EQ(http_status(made.status()), 400);
    const auto unlimited = make_thinking_budget(row.model, row.output, row.sampling, -1);
    EXPECT_TRUE(unlimited.ok() && *unlimited == nullptr);
  }
}

}  // namespace
}  // namespace polymath::api
