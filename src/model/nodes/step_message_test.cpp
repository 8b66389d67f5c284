#include "model/nodes/step_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace polymath::model {
namespace {

constexpr int kVocab = 100;

StepBounds bounds() {
  StepBounds b;
  b.step.tokens_max = 8, b.step.seqs_max = 2, b.step.logit_rows_max = 2, b.step.blocks_max = 4;
  b.vocab = kVocab, b.positions = 64, b.n_blocks = 10, b.block_size = 4;
  return b;
}

// Two sequences: a prompt of three tokens and a decode.
struct Arrays {
  std::vector<int32_t> tokens{1, 2, 3, 99}, positions{0, 1, 2, 6}, slots{4, 5, 6, 38}, query_start{0, 3, 4},
      kv_len{3, 7}, block_table{1, 0, 8, 9}, logit_rows{2, 3}, state_slots, adapters;
  std::vector<StateCopy> copies;
  int width = 2;

  Batch batch() const {
    Batch b;
    b.tokens = tokens, b.positions = positions, b.slots = slots, b.query_start = query_start, b.kv_len = kv_len;
    b.block_table = block_table, b.logit_rows = logit_rows, b.state_slots = state_slots, b.adapters = adapters;
    b.state_copies = copies, b.block_table_width = width;
    return b;
  }
};

TEST(StepMessage, ComesBackAsItWas) {
  const Arrays arrays;
  BatchCopy sent, received;
  sent.assign(arrays.batch());
  MessageBytes bytes;
  write_step(sent, bytes);
  ASSERT_TRUE(read_step(bytes, bounds(), received).ok());
  const Batch& b = received.batch();
  EXPECT_THAT(b.tokens, testing::ElementsAreArray(arrays.tokens));
  EXPECT_THAT(b.block_table, testing::ElementsAreArray(arrays.block_table));
  EXPECT_THAT(b.logit_rows, testing::ElementsAreArray(arrays.logit_rows));
  EXPECT_EQ(b.block_table_width, 2);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(read_step(std::span(bytes).first(n), bounds(), received).ok()) << n << " bytes of it";
  }
  bytes.push_back({});
  EXPECT_FALSE(read_step(bytes, bounds(), received).ok());
}

TEST(StepMessage, RefusesWhatIsOutOfBounds) {
  const struct {
    std::function<void(Arrays&)> change;
    const char* says;
  } cases[] = {
      {[](Arrays& a) { a.tokens[3] = kVocab; }, "a token is"},
      {[](Arrays& a) { a.tokens[0] = -1; }, "a token is"},
      {[](Arrays& a) { a.positions[3] = 64; }, "a position is"},
      {[](Arrays& a) { a.slots[0] = 40; }, "a slot is"},
      {[](Arrays& a) { a.block_table[2] = 10; }, "a block is"},
      {[](Arrays& a) { a.query_start[1] = 4; }, "the start of a sequence is"},
      {[](Arrays& a) { a.query_start[2] = 3; }, "the start of a sequence is"},
      {[](Arrays& a) { a.kv_len[0] = 2; }, "the length of a sequence is"},
      {[](Arrays& a) { a.kv_len[1] = 9; }, "the length of a sequence is"},
      {[](Arrays& a) { a.logit_rows[1] = 4; }, "a row of logits is"},
      {[](Arrays& a) {
         a.logit_rows = {3, 2};
       },
       "a row of logits is"},
      {[](Arrays& a) {
         a.logit_rows = {0, 1, 2};
       },
       "the number of logits is"},
      {[](Arrays& a) { a.positions.pop_back(); }, "the size of an array is"},
      {[](Arrays& a) { a.width = 3; }, "the size of an array is"},
      {[](Arrays& a) { a.width = 5; }, "the block table is"},
      {[](Arrays& a) {
         a.adapters = {0, 0};
       },
       "the size of an array is"},
      {[](Arrays& a) {
         a.state_slots = {0, 1};
       },
       "the size of an array is"},
      {[](Arrays& a) {
         a.copies = {{0, 0}};
       },
       "a state is"},
      {[](Arrays& a) { a.tokens.clear(); }, "the number of tokens is"},
      {[](Arrays& a) { a.kv_len.clear(); }, "the number of sequences is"},
  };
  ASSERT_TRUE(check_step(Arrays().batch(), bounds()).ok());
  for (const auto& c : cases) {
    Arrays arrays;
    c.change(arrays);
    const absl::Status status = check_step(arrays.batch(), bounds());
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(c.says));
  }
}

TEST(StepMessage, LoadsComeBack) {
  const std::vector<int64_t> pairs{5, 0, 7}, steps{2, 0, 3};
  Model::ExpertLoad load{.layer = 4, .pairs = pairs, .steps = steps, .n_steps = 9, .experts_per_rank = 3};
  load.seconds = 0.25;
  LoadsKept kept;
  const MessageBytes bytes = write_loads({load});
  ASSERT_TRUE(read_loads(bytes, kept).ok());
  ASSERT_EQ(kept.loads.size(), 1U);
  EXPECT_EQ(kept.loads[0].layer, 4);
  EXPECT_THAT(kept.loads[0].pairs, testing::ElementsAreArray(pairs));
  EXPECT_EQ(kept.loads[0].seconds, 0.25);
  EXPECT_FALSE(kept.loads[0].top_shares.has_value());
  EXPECT_FALSE(read_loads(std::span(bytes).first(bytes.size() - 1), kept).ok());
}

TEST(StepMessage, FactsAndLimitsComeBack) {
  const auto facts = read_facts(write_facts({.weights = 7, .scratch = 6, .kv_cache = 5, .has_state = true}));
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->weights, 7U);
  EXPECT_TRUE(facts->has_state);
  backend::StepLimits limits;
  limits.tokens_max = 12, limits.blocks_max = 3;
  EXPECT_EQ(read_limits(write_limits(limits))->tokens_max, 12);
  EXPECT_FALSE(read_limits(MessageBytes(15)).ok());
  const auto cache = read_cache(write_cache({.block_size = 8, .n_blocks = 77}), {});
  EXPECT_EQ(cache->n_blocks, 77);
  EXPECT_FALSE(read_cache(write_cache({.block_size = 0, .n_blocks = 77}), {}).ok());
}

}  // namespace
}  // namespace polymath::model
