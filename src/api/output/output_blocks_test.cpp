#include "api/output/output_blocks.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

using text::OutputEvent;
using text::OutputKind;

std::string shown(const std::vector<OutputBlock>& blocks) {
  std::string out;
  for (const OutputBlock& block : blocks) {
    const char* const kind = block.kind == BlockKind::kCall ? "call" : "text";
    absl::StrAppend(&out, block.kind == BlockKind::kReasoning ? "reasoning" : kind, "(", block.id, block.name, "|",
                    block.text, ")");
  }
  return out;
}

TEST(OutputBlocks, EventsOfOneKindAreABlock) {
  const text::OutputEvents events = {
      {.kind = OutputKind::kReasoning, .text = "a"},
      {.kind = OutputKind::kReasoning, .text = "b"},
      {.kind = OutputKind::kContent, .text = "c"},
      {.kind = OutputKind::kCallBegin, .text = "f", .id = "1"},
      {.kind = OutputKind::kArguments, .text = "{"},
      {.kind = OutputKind::kArguments, .text = "}"},
      {.kind = OutputKind::kCallEnd},
      {.kind = OutputKind::kCallBegin, .text = "g", .id = "2"},
      {.kind = OutputKind::kCallEnd},
      {.kind = OutputKind::kReasoning, .text = "d"},
  };
  EXPECT_EQ(shown(blocks_of(events, "c")), "reasoning(|ab)text(|c)call(1f|{})call(2g|)reasoning(|d)");
}

TEST(OutputBlocks, AnAnswerWithoutEventsIsItsText) {
  EXPECT_EQ(shown(blocks_of({}, "words")), "text(|words)");
  EXPECT_EQ(shown(blocks_of({}, "")), "");
}

class Recorder : public BlockStream {
 public:
  std::string log;

 private:
  void on_begin(const OutputBlock& block) override { absl::StrAppend(&log, "<", block.name); }
  void on_piece(const OutputBlock&, std::string_view piece) override { absl::StrAppend(&log, std::string(piece)); }
  void on_end(const OutputBlock& block) override { absl::StrAppend(&log, "=", block.text, ">"); }
};

TEST(OutputBlocks, AStreamHasOneOpenBlock) {
  Recorder recorder;
  Delta delta;
  delta.text = "a";
  recorder.push(delta);
  delta.text = "b";
  recorder.push(delta);
  delta.events = {{.kind = OutputKind::kContent, .text = "c"}, {.kind = OutputKind::kCallBegin, .text = "f"}};
  recorder.push(delta);
  EXPECT_EQ(recorder.log, "<abc=abc><f");
  recorder.close();
  recorder.close();
  EXPECT_EQ(recorder.log, "<abc=abc><f=>");
}

}  // namespace
}  // namespace polymath::api
