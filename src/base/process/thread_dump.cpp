#include "base/process/thread_dump.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/read_file.h"

namespace polymath::base {
namespace {

constexpr int kFramesMax = 32;           // deeper ones are not shown
constexpr int kFirstFrame = 2;           // the handler and its trampoline come first
constexpr double kThreadSeconds = 0.25;  // that one thread has for its handler
constexpr double kAllSeconds = 2;
constexpr size_t kProcBytesMax = 4096;  // of a file of /proc; more is not read

int dump_signal() { return SIGRTMAX - 2; }

// Filled by the handler of the thread that is asked, one at a time.
struct Frames {
  std::atomic<int> asked{0};  // its id; 0: none, or it has begun
  std::atomic<int> done{0};   // its id, once the frames are there
  int n = 0;
  void* at[kFramesMax];
} frames;

_Unwind_Reason_Code add_frame(_Unwind_Context* context, void*) {
  if (frames.n == kFramesMax) return _URC_END_OF_STACK;
  frames.at[frames.n++] = reinterpret_cast<void*>(_Unwind_GetIP(context));
  return _URC_NO_REASON;
}

void take_frames(int, siginfo_t*, void*) {
  const int saved = errno;
  int self = static_cast<int>(syscall(SYS_gettid));
  if (frames.asked.compare_exchange_strong(self, 0)) {
    frames.n = 0;
    _Unwind_Backtrace(add_frame, nullptr);
    frames.done.store(self);
  }
  errno = saved;
}

// "polymath+0x12ab", with the function's name where the loader knows it.
std::string place_of(void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return absl::StrFormat("%p", address);
  const std::string file = std::filesystem::path(info.dli_fname).filename().string();
  const auto offset = static_cast<const char*>(address) - static_cast<const char*>(info.dli_fbase);
  const std::string place = absl::StrFormat("%s+0x%x", file, offset);
  return info.dli_sname == nullptr ? place : absl::StrCat(place, "(", info.dli_sname, ")");
}

std::string frames_of(int thread) {
  frames.done.store(0);
  frames.asked.store(thread);
  if (syscall(SYS_tgkill, getpid(), thread, dump_signal()) != 0) return "";
  const double end = steady_seconds() + kThreadSeconds;
  while (frames.done.load() != thread) {
    if (steady_seconds() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    int asked = thread;
    if (frames.asked.compare_exchange_strong(asked, 0)) return "";  // its handler will find nothing to do
  }
  std::string places;
  for (int i = kFirstFrame; i < frames.n && frames.at[i] != nullptr; ++i)
    absl::StrAppend(&places, " ", place_of(frames.at[i]));
  return places;
}

// Files of /proc have no size: read_file() is not for them.
std::string proc_line(const std::string& path) {
  std::string text(kProcBytesMax, '\0');
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return "";
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text.substr(0, text.find('\n'));
}

// The third field of stat: behind the name, which may have blanks and brackets.
std::string state_of(const std::string& stat) {
  const size_t end = stat.rfind(')');
  return end == std::string::npos || end + 2 >= stat.size() ? "?" : stat.substr(end + 2, 1);
}

std::string describe_thread(int thread, bool with_frames) {
  const std::string folder = absl::StrCat("/proc/self/task/", thread, "/");
  const std::string waits_in = proc_line(folder + "wchan");
  std::string line =
      absl::StrCat(thread, " ", proc_line(folder + "comm"), ": state ", state_of(proc_line(folder + "stat")));
  if (waits_in.size() > 1) absl::StrAppend(&line, ", in ", waits_in);
  if (with_frames) absl::StrAppend(&line, ":", frames_of(thread));
  return line;
}

}  // namespace

void prepare_thread_dump() {
  struct sigaction action {};
  action.sa_sigaction = take_frames;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigaction(dump_signal(), &action, nullptr);
}

std::vector<std::string> describe_threads() {
  const double end = steady_seconds() + kAllSeconds;
  const int self = static_cast<int>(syscall(SYS_gettid));
  std::vector<int> threads;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/task", error), last; !error && at != last;
       at.increment(error)) {
    int thread = 0;
    if (absl::SimpleAtoi(at->path().filename().string(), &thread)) threads.push_back(thread);
  }
  std::sort(threads.begin(), threads.end());
  std::vector<std::string> lines;
  for (const int thread : threads) {
    lines.push_back(describe_thread(thread, thread != self && steady_seconds() < end));
  }
  return lines;
}

}  // namespace polymath::base
