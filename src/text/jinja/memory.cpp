#include "text/jinja/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace polymath::text::jinja {
namespace {

constexpr size_t kChunkBytes = 64u << 10;
constexpr size_t kGrowingMin = 1024;  // bytes of a text that is given room to grow

}  // namespace

void fail(std::string message) { throw TemplateError{std::move(message)}; }

void* Arena::do_allocate(size_t bytes, size_t alignment) {
  if (bytes > bound_->bytes_max) fail("the template uses too much memory");
  const size_t padding = (alignment - reinterpret_cast<uintptr_t>(tip_) % alignment) % alignment;
  if (tip_ == nullptr || bytes + padding > static_cast<size_t>(end_ - tip_)) {
    const size_t left = bound_->bytes_max - bound_->used;
    if (bytes > left || left < kChunkBytes) fail("the template uses too much memory");
    const size_t size = std::min(left, std::max(kChunkBytes, bytes + bytes / 4));
    chunks_.push_back(std::unique_ptr<char[]>(new char[size]));
    bound_->used += size;
    tip_ = chunks_.back().get();
    end_ = tip_ + size;
    return do_allocate(bytes, alignment);
  }
  char* result = tip_ + padding;
  tip_ = result + bytes;
  return result;
}

void Budget::expect_room(size_t bytes) const {
  if (bytes > memory_.bytes_max - memory_.used) fail("the template uses too much memory");
}

std::string_view Budget::copy(std::string_view text) {
  if (text.empty()) return {};
  scan(text.size());
  char* buffer = text_buffer(text.size());
  std::memcpy(buffer, text.data(), text.size());
  return {buffer, text.size()};
}

std::string_view Budget::concat(std::string_view left, std::string_view right) {
  if (left.empty()) return right;
  if (right.empty()) return left;
  const size_t size = left.size() + right.size();
  for (Growing& text : growing_) {
    if (text.end != left.data() + left.size() || text.room < right.size()) continue;
    scan(right.size());
    std::memcpy(text.end, right.data(), right.size());
    text = {text.end + right.size(), text.room - right.size(), size};
    return {left.data(), size};
  }
  expect_room(size);
  scan(size);
  const size_t room = left.size() < kGrowingMin ? 0 : size;
  char* buffer = text_buffer(size + room);
  std::memcpy(buffer, left.data(), left.size());
  std::memcpy(buffer + left.size(), right.data(), right.size());
  if (room > 0) {
    auto* smallest = std::min_element(std::begin(growing_), std::end(growing_),
                                      [](const Growing& a, const Growing& b) { return a.size < b.size; });
    *smallest = {buffer + size, room, size};
  }
  return {buffer, size};
}

void Builder::fill(size_t count, std::string_view unit) {
  if (unit.empty()) return;
  budget_.expect_room(count);  // before the multiplication can overflow
  budget_.expect_room(text_.size() + count * unit.size());
  budget_.step(count * unit.size() / 64);
  for (size_t i = 0; i < count; ++i) text_.append(unit);
}

}  // namespace polymath::text::jinja
