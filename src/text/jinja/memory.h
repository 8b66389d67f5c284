#pragma once

// The bounds of one rendering: memory and steps; and its current line.
//
// Every string, list and scope of a rendering lives in its arenas, which are freed at once. So values need no
// reference counts, cycles through a namespace are harmless, and every charged byte is a used one.

#include <array>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace polymath::text::jinja {

// Thrown and caught inside the template code only: ChatTemplate::parse() and render() turn it into a Status.
struct TemplateError {
  std::string message;
  bool from_template = false;  // raise_exception's own words: shown as they are, without a line
};

[[noreturn]] void fail(std::string message);

struct Missing;

struct MemoryBound {
  size_t used = 0;
  size_t bytes_max = 0;  // beyond: TemplateError
};

class Arena : public std::pmr::memory_resource {
 public:
  explicit Arena(MemoryBound* bound) : bound_(bound) {}

 private:
  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void*, size_t, size_t) override {}
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  MemoryBound* bound_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* tip_ = nullptr;
  char* end_ = nullptr;
};

class Budget {
 public:
  Budget(size_t memory_bytes_max, size_t steps_max) : steps_left_(steps_max), memory_{0, memory_bytes_max} {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  void step(size_t count = 1) {
    if (count > steps_left_) fail("the template takes too many steps");
    steps_left_ -= count;
  }
  // Reading or copying bytes costs time as well, though less than evaluating does.
  void scan(size_t bytes) { step(1 + bytes / 64); }
  // The same where every character is decoded or changed.
  void walk(size_t bytes) { step(1 + bytes / 8); }

  // Fails if `bytes` more would not fit; for buffers that are about to be filled.
  void expect_room(size_t bytes) const;

  // The object is never destroyed: its memory is the arena's.
  template <typename T, typename... Arguments>
  T* make(Arguments&&... arguments) {
    return new (arena_.allocate(sizeof(T), alignof(T))) T(std::forward<Arguments>(arguments)...);
  }
  char* text_buffer(size_t bytes) { return static_cast<char*>(arena_.allocate(bytes, 1)); }
  std::string_view copy(std::string_view text);
  // May extend `left` in place; views of it stay valid and unchanged.
  std::string_view concat(std::string_view left, std::string_view right);
  std::pmr::memory_resource* objects() { return &arena_; }

  int line = 0;  // of the node that is being evaluated; what an error names
  // The latest reasons of undefined values: loops meet the same ones again and again.
  std::array<const Missing*, 4> recent_missing = {};

 private:
  size_t steps_left_;
  MemoryBound memory_;
  Arena arena_{&memory_};

  // Long concatenated texts with spare room, so that `text = text + more` in a loop is linear.
  struct Growing {
    char* end = nullptr;
    size_t room = 0;
    size_t size = 0;
  };
  Growing growing_[4];
};

// Text that grows before its length is known. It never holds more than the budget has room for.
class Builder {
 public:
  explicit Builder(Budget& budget) : budget_(budget) {}
  void append(std::string_view text) {
    budget_.expect_room(text_.size() + text.size());
    budget_.step(text.size() / 64);
    text_.append(text);
  }
  void fill(size_t count, std::string_view unit);
  std::string_view finish() { return budget_.copy(text_); }
  std::string_view view() const { return text_; }
  Budget& budget() { return budget_; }

  int depth = 0;  // of the value that is being written out

 private:
  Budget& budget_;
  std::string text_;
};

}  // namespace polymath::text::jinja
