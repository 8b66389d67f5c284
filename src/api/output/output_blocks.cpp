#include "api/output/output_blocks.h"

#include <utility>

namespace polymath::api {
namespace {

using text::OutputEvent;
using text::OutputKind;

BlockKind kind_of(OutputKind kind) {
  if (kind == OutputKind::kContent) return BlockKind::kContent;
  return kind == OutputKind::kReasoning ? BlockKind::kReasoning : BlockKind::kCall;
}

class Collector : public BlockStream {
 public:
  std::vector<OutputBlock> blocks;

 private:
  void on_begin(const OutputBlock&) override {}
  void on_piece(const OutputBlock&, std::string_view) override {}
  void on_end(const OutputBlock& block) override { blocks.push_back(block); }
};

}  // namespace

void BlockStream::push(const Delta& delta) {
  if (delta.events.empty() && !delta.text.empty()) push(OutputEvent{.kind = OutputKind::kContent, .text = delta.text});
  for (const OutputEvent& event : delta.events) push(event);
}

void BlockStream::push(const OutputEvent& event) {
  const BlockKind kind = kind_of(event.kind);
  if (event.kind == OutputKind::kCallEnd) return close();
  if (!is_open_ || event.kind == OutputKind::kCallBegin || block_.kind != kind) begin(kind, event);
  if (event.kind == OutputKind::kCallBegin) return;
  block_.text += event.text;
  on_piece(block_, event.text);
}

void BlockStream::begin(BlockKind kind, const OutputEvent& event) {
  close();
  block_ = {.kind = kind, .text = "", .name = "", .id = ""};
  if (kind == BlockKind::kCall) {
    block_.name = event.text;
    block_.id = event.id;
  }
  is_open_ = true;
  on_begin(block_);
}

void BlockStream::close() {
  if (!std::exchange(is_open_, false)) return;
  on_end(block_);
}

std::vector<OutputBlock> blocks_of(const text::OutputEvents& events, std::string_view text) {
  Collector collector;
  Delta delta;
  delta.text = text;
  delta.events = events;
  collector.BlockStream::push(delta);
  collector.close();
  return std::move(collector.blocks);
}

}  // namespace polymath::api
