#pragma once

// A text on its way through a tokenizer, and where in the input each of its bytes comes from.
//
//   AlignedText text = AlignedText::of("Héllo", 0);      // or {"Héllo"}: not tracked, which costs nothing
//   Rewrite out(text);                                   // reads `text` from front to back
//   out.replace("h", 1);
//   out.keep(text.text.size() - 1);
//   text = out.take();
//
// The rules are those of huggingface/tokenizers (NormalizedString), so that offsets agree with its own.
// Thread safety: none.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace polymath::text {

// Bytes [begin, end).
struct ByteSpan {
  uint32_t begin = 0, end = 0;
};

struct AlignedText {
  std::string text;
  bool tracked = false;
  std::vector<ByteSpan> origins = {};  // tracked: of each byte the span in the input, of whole characters

  // A text at byte `at` of the input, tracked. REQUIRES: valid UTF-8.
  static AlignedText of(std::string_view text, size_t at) {
    AlignedText out{std::string(text), true};
    out.origins.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const auto bytes = static_cast<size_t>(decode_utf8(text.substr(i)).bytes);
      const auto begin = static_cast<uint32_t>(at + i);
      out.origins.insert(out.origins.end(), bytes, {begin, begin + static_cast<uint32_t>(bytes)});
      i += bytes;
    }
    return out;
  }

  AlignedText part(size_t begin, size_t end) const {
    AlignedText out{text.substr(begin, end - begin), tracked};
    const auto first = origins.begin();
    if (tracked) out.origins.assign(first + static_cast<ptrdiff_t>(begin), first + static_cast<ptrdiff_t>(end));
    return out;
  }

  // The input's bytes that [begin, end) comes from. REQUIRES: tracked.
  ByteSpan origin(size_t begin, size_t end) const {
    if (begin >= end || end > origins.size()) return {};
    const uint32_t from = origins[begin].begin;
    return {from, std::max(from, origins[end - 1].end)};
  }
};

class Rewrite {
 public:
  // `from` outlives this.
  explicit Rewrite(const AlignedText& from) : from_(from) {
    out_.tracked = from.tracked;
    out_.text.reserve(from.text.size() + from.text.size() / 2);
    if (from.tracked) out_.origins.reserve(out_.text.capacity());
  }

  bool tracked() const { return from_.tracked; }
  size_t size() const { return out_.text.size(); }

  // The next bytes as they are.
  void keep(size_t bytes) {
    out_.text.append(from_.text, at_, bytes);
    if (tracked()) {
      const auto first = from_.origins.begin() + static_cast<ptrdiff_t>(at_);
      out_.origins.insert(out_.origins.end(), first, first + static_cast<ptrdiff_t>(bytes));
    }
    at_ += bytes;
  }
  // `piece` in place of the next bytes; it comes from the first of them.
  void replace(std::string_view piece, size_t bytes) {
    lead(piece);
    at_ += bytes;
  }
  // `piece` comes from what follows it.
  void lead(std::string_view piece) { put(piece, at_); }
  // `piece` comes from what was read last.
  void add(std::string_view piece) { put(piece, at_ == 0 ? SIZE_MAX : at_ - 1); }
  // The next bytes go.
  void drop(size_t bytes) { at_ += bytes; }
  AlignedText take() { return std::move(out_); }

 private:
  void put(std::string_view piece, size_t source) {
    out_.text.append(piece);
    if (!tracked()) return;
    const ByteSpan origin = source < from_.origins.size() ? from_.origins[source] : ByteSpan{};
    out_.origins.insert(out_.origins.end(), piece.size(), origin);
  }

  const AlignedText& from_;
  AlignedText out_;
  size_t at_ = 0;  // of `from_`: read
};

}  // namespace polymath::text
