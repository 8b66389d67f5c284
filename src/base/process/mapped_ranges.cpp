#include "base/process/mapped_ranges.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

#include "base/line_writer.h"
#include "base/process/fatal.h"

namespace polymath::base {
namespace {

constexpr size_t kPathBytesMax = 256;  // of a path in the sentence; longer ones keep their end

struct Mapping {
  std::atomic<uintptr_t> begin{0};  // 0: a free row
  std::atomic<uintptr_t> end{0};
  char path[kPathBytesMax + 1];
};
Mapping mappings[kMappedRangesMax];
std::mutex mutex;  // of writers

std::string_view digits_of(uintptr_t number, char (&text)[24]) {
  size_t at = sizeof(text);
  do {
    text[--at] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return {text + at, sizeof(text) - at};
}

void end_with_a_sentence(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Mapping& m : mappings) {
    if (address < m.begin.load() || address >= m.end.load()) continue;
    char text[24];
    write_raw("polymath: ");
    write_raw(m.path);
    write_raw(": byte ");
    write_raw(digits_of(address - m.begin.load(), text));
    write_raw(" cannot be read: the file was cut while it was in use, or its disk failed; ending\n");
    std::_Exit(kExitFatal);
  }
  write_raw("polymath: a page of memory was lost (SIGBUS); ending\n");
  std::_Exit(kExitFatal);
}

}  // namespace

void explain_lost_pages() {
  struct sigaction action {};
  action.sa_sigaction = end_with_a_sentence;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGBUS, &action, nullptr);
}

int remember_mapping(const void* begin, size_t n_bytes, const std::string& path) {
  const std::lock_guard lock(mutex);
  for (int row = 0; row < kMappedRangesMax; ++row) {
    Mapping& m = mappings[row];
    if (m.begin.load() != 0) continue;
    const std::string_view shown = std::string_view(path).substr(path.size() - std::min(path.size(), kPathBytesMax));
    std::memcpy(m.path, shown.data(), shown.size());
    m.path[shown.size()] = '\0';
    m.end.store(reinterpret_cast<uintptr_t>(begin) + n_bytes);
    m.begin.store(reinterpret_cast<uintptr_t>(begin));
    return row;
  }
  return -1;
}

void forget_mapping(int row) {
  if (row < 0) return;
  const std::lock_guard lock(mutex);
  mappings[row].end.store(0);
  mappings[row].begin.store(0);
}

}  // namespace polymath::base
