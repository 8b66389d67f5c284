#include "base/process/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <string_view>

#include "base/clock.h"

namespace polymath::base {
namespace {

constexpr double kFilesSeconds = 1;  // between two counts of the open descriptors

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Of /proc/self/stat, by proc(5).
struct Stat {
  double cpu_ticks = 0, start_ticks = 0, virtual_bytes = 0, resident_pages = 0;
};

// The fields after the command's name, which may hold blanks and parentheses.
Stat parse_stat(std::string_view text) {
  constexpr int kUserTicks = 14, kSystemTicks = 15, kStart = 22, kVirtual = 23, kResident = 24;
  Stat stat;
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return stat;
  text.remove_prefix(name_end + 1);
  for (int field = 3; !text.empty() && field <= kResident; ++field) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    double value = 0;
    std::from_chars(word.data(), word.data() + word.size(), value);
    if (field == kUserTicks || field == kSystemTicks) stat.cpu_ticks += value;
    if (field == kStart) stat.start_ticks = value;
    if (field == kVirtual) stat.virtual_bytes = value;
    if (field == kResident) stat.resident_pages = value;
  }
  return stat;
}

Stat read_stat() {
  char text[1024];
  const int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  const ssize_t n = read(file, text, sizeof(text));
  close(file);
  return n > 0 ? parse_stat({text, static_cast<size_t>(n)}) : Stat{};
}

// Entries of an open directory, without "." and "..".
double entries_of(int directory) {
  struct Entry {  // linux_dirent64, getdents64(2)
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
  };
  alignas(Entry) char block[8192];
  double n = 0;
  for (long bytes = 0; (bytes = syscall(SYS_getdents64, directory, block, sizeof(block))) > 0;) {
    for (long at = 0; at < bytes; ++n) {
      uint16_t length = 0;
      std::memcpy(&length, block + at + offsetof(Entry, bytes), sizeof(length));
      at += length;
    }
  }
  return n - 2;
}

// Since Linux 6.2 the folder's size is the number of descriptors.
double open_files() {
  struct stat info {};
  if (stat("/proc/self/fd", &info) == 0 && info.st_size > 0) return static_cast<double>(info.st_size);
  const int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return 0;
  const double n = entries_of(directory);
  close(directory);
  return n - 1;  // without `directory`
}

struct Process {
  explicit Process(MetricsRegistry& registry)
      : cpu(registry.counter("process_cpu_seconds_total", "CPU time of the process, in user and in kernel mode.", {})),
        virtual_bytes(registry.gauge("process_virtual_memory_bytes", "Address space of the process.", {})),
        resident_bytes(registry.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", {})),
        files(registry.gauge("process_open_fds", "File descriptors that are open.", {})) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    registry.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", {})
        .set(seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + read_stat().start_ticks / ticks);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    registry.gauge("process_max_fds", "File descriptors that may be open.", {})
        .set(static_cast<double>(limit.rlim_cur));
  }

  void update() {
    const Stat stat = read_stat();
    const double seconds = stat.cpu_ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    if (seconds > cpu.value()) cpu.add(seconds - cpu.value());
    virtual_bytes.set(stat.virtual_bytes);
    resident_bytes.set(stat.resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE)));
    const double now = steady_seconds();
    if (now - files_counted_at < kFilesSeconds) return;
    files_counted_at = now;
    files.set(open_files());
  }

  Counter& cpu;
  Gauge &virtual_bytes, &resident_bytes, &files;
  double files_counted_at = -kFilesSeconds;
};

}  // namespace

void export_process(MetricsRegistry& registry) {
  registry.on_render([process = std::make_shared<Process>(registry)] { process->update(); });
}

}  // namespace polymath::base
