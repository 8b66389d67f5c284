#pragma once

// An output's events as blocks: stretches of reasoning, stretches of content, and calls, in order.
//
// Thread safety: none.

#include <string>
#include <string_view>
#include <vector>

#include "api/generation.h"

namespace polymath::api {

enum class BlockKind : uint8_t { kReasoning, kContent, kCall };

struct OutputBlock {
  BlockKind kind = BlockKind::kContent;
  std::string text;      // of a call: its arguments
  std::string name, id;  // of a call
};

// A whole answer's blocks. `events` empty: `text` is the content; without one there is no block.
std::vector<OutputBlock> blocks_of(const text::OutputEvents& events, std::string_view text);

// The same of a stream. One block is open at a time.
class BlockStream {
 public:
  virtual ~BlockStream() = default;
  void push(const Delta& delta);
  void close();  // ends the open block

 private:
  // `block` has no text yet.
  virtual void on_begin(const OutputBlock& block) = 0;
  virtual void on_piece(const OutputBlock& block, std::string_view piece) = 0;
  // `block` has its whole text.
  virtual void on_end(const OutputBlock& block) = 0;

  void push(const text::OutputEvent& event);
  void begin(BlockKind kind, const text::OutputEvent& event);

  OutputBlock block_;
  bool is_open_ = false;
};

}  // namespace polymath::api
