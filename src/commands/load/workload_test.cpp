// Conversations: lengths, shared beginnings, turns, and what a seed repeats.

#include "commands/load/workload.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace polymath::commands::load {
namespace {

WorkloadOptions options_of(PromptForm form) {
  WorkloadOptions options;
  options.prompt_len = *Length::parse("uniform:5-9");
  options.output_len = Length(4);
  options.form = form;
  options.seed = 11;
  return options;
}

std::vector<int32_t> first_ids(const WorkloadOptions& options, int index) {
  Conversation conversation(options, index, nullptr);
  conversation.ask();
  EXPECT_EQ(conversation.prompt().ids.size(), static_cast<size_t>(conversation.prompt_len()));
  return conversation.prompt().ids;
}

TEST(Workload, ASeedAndAnIndexDecideThePrompt) {
  WorkloadOptions options = options_of(PromptForm::kIds);
  EXPECT_EQ(first_ids(options, 3), first_ids(options, 3));
  EXPECT_NE(first_ids(options, 3), first_ids(options, 4));
  WorkloadOptions other = options;
  other.seed = 12;
  EXPECT_NE(first_ids(options, 3), first_ids(other, 3));
}

TEST(Workload, IdsLieInTheVocabulary) {
  for (const int vocab : {2, 100, 512, 100000}) {
    WorkloadOptions options = options_of(PromptForm::kIds);
    options.vocab = vocab;
    options.prompt_len = Length(500);
    const auto ids = first_ids(options, 0);
    EXPECT_GE(*std::min_element(ids.begin(), ids.end()), std::min(300, vocab / 2));
    EXPECT_LT(*std::max_element(ids.begin(), ids.end()), vocab);
  }
}

TEST(Workload, GroupsShareTheirBeginning) {
  WorkloadOptions options = options_of(PromptForm::kIds);
  options.prefix_len = 20;
  options.n_prefixes = 2;
  const auto begin = [&](int index) {
    auto ids = first_ids(options, index);
    ids.resize(20);
    return ids;
  };
  EXPECT_EQ(begin(0), begin(2));
  EXPECT_EQ(begin(1), begin(3));
  EXPECT_NE(begin(0), begin(1));
  EXPECT_NE(first_ids(options, 0), first_ids(options, 2));
}

TEST(Workload, TurnsGoOnFromTheAnswer) {
  WorkloadOptions options = options_of(PromptForm::kIds);
  options.turns = 3;
  Conversation conversation(options, 0, nullptr);
  conversation.ask();
  const std::vector<int32_t> first = conversation.prompt().ids;
  conversation.answer("", {7, 8});
  conversation.ask();
  const std::vector<int32_t> second = conversation.prompt().ids;
  ASSERT_GT(second.size(), first.size() + 2);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), second.begin()));
  EXPECT_EQ(second[first.size()], 7);
  EXPECT_EQ(second[first.size() + 1], 8);
  conversation.answer("", {});  // the server gives no ids
  EXPECT_EQ(conversation.prompt().ids.size(), second.size() + 4);
  conversation.ask();
  EXPECT_FALSE(conversation.has_next());
  EXPECT_EQ(conversation.prompt_len(), static_cast<int>(conversation.prompt().ids.size()));
}

TEST(Workload, MessagesAndText) {
  WorkloadOptions options = options_of(PromptForm::kMessages);
  options.turns = 2;
  options.prefix_len = 3;
  Conversation chat(options, 0, nullptr);
  chat.ask();
  chat.answer("hello", {1, 2});
  chat.ask();
  ASSERT_EQ(chat.prompt().messages.size(), 4u);
  const char* roles[] = {"system", "user", "assistant", "user"};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(chat.prompt().messages[i].role, roles[i]);
  EXPECT_EQ(chat.prompt().messages[2].content, "hello");
  EXPECT_TRUE(chat.prompt().ids.empty());

  options.form = PromptForm::kText;
  Conversation text(options, 0, nullptr);
  text.ask();
  const auto blanks = std::count(text.prompt().text.begin(), text.prompt().text.end(), ' ');
  EXPECT_EQ(blanks + 1, text.prompt_len());
}

TEST(Workload, ATraceSaysTheLengths) {
  const WorkloadOptions options = options_of(PromptForm::kIds);
  const TraceRow row{1, 30, 40};
  Conversation conversation(options, 0, &row);
  conversation.ask();
  EXPECT_EQ(conversation.prompt_len(), 30);
  EXPECT_EQ(conversation.output_len(), 40);
}

}  // namespace
}  // namespace polymath::commands::load
