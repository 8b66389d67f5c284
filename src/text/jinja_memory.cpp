#include "text/jinja_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace polymath::text::jinja {
namespace {

constexpr size_t kChunkBytes = 64u << 10;

}  // namespace

void fail(std::string message) { throw TemplateError{std::move(message)}; }

bool Arena::extend(const char* end, size_t bytes) {
  if (end == nullptr || end != tip_ || bytes > static_cast<size_t>(end_ - tip_)) return false;
  tip_ += bytes;
  return true;
}

void* Arena::do_allocate(size_t bytes, size_t alignment) {
  if (bytes > bound_->bytes_max) fail("the template uses too much memory");
  const size_t padding = (alignment - reinterpret_cast<uintptr_t>(tip_) % alignment) % alignment;
  if (tip_ == nullptr || bytes + padding > static_cast<size_t>(end_ - tip_)) {
    const size_t left = bound_->bytes_max - bound_->used;
    if (bytes > left || left < kChunkBytes) fail("the template uses too much memory");
    // Half as much again, so that a text that keeps growing is moved rarely.
    const size_t size = std::min(left, std::max(kChunkBytes, bytes + bytes / 2 + alignment));
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
  if (texts_.extend(left.data() + left.size(), right.size())) {
    scan(right.size());
    std::memcpy(const_cast<char*>(left.data()) + left.size(), right.data(), right.size());
    return {left.data(), left.size() + right.size()};
  }
  expect_room(left.size() + right.size());
  scan(left.size() + right.size());
  char* buffer = text_buffer(left.size() + right.size());
  std::memcpy(buffer, left.data(), left.size());
  std::memcpy(buffer + left.size(), right.data(), right.size());
  return {buffer, left.size() + right.size()};
}

void Builder::fill(size_t count, std::string_view unit) {
  if (unit.empty()) return;
  for (size_t i = 0; i < count; ++i) append(unit);
}

}  // namespace polymath::text::jinja
