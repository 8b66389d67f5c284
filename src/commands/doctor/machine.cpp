#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/threads.h"
#include "commands/doctor/findings.h"
#include "commands/flags/flag_values.h"
#include "commands/memory.h"

namespace polymath::commands {
namespace {

constexpr uint64_t kFilesLeast = 4096;              // open files; fewer allowed: a note
constexpr int64_t kMemoryLeast = int64_t{2} << 30;  // available; less: a problem
constexpr size_t kReadBytesMax = 256 << 20;         // of a model's files; the rest is not read
constexpr size_t kPieceBytes = 8 << 20;             // of a read

Finding look_at_device(const char* name) {
  const auto backend = backend::make_backend(name, {.threads = 1});
  if (!backend.ok()) {
    return {Level::kNote, absl::StrCat("--device ", name, " cannot be used: ", std::string(backend.status().message())),
            ""};
  }
  const int64_t memory = (*backend)->memory_total();
  const std::string of = memory > 0 ? absl::StrCat(" of ", bytes_text(static_cast<double>(memory))) : "";
  return {Level::kFine, absl::StrCat("--device ", name, " can be used", of), ""};
}

std::vector<std::filesystem::path> weight_files(const std::string& path) {
  std::vector<std::filesystem::path> out;
  std::error_code none;
  if (std::filesystem::is_regular_file(path, none)) return {path};
  for (const auto& entry : std::filesystem::directory_iterator(path, none)) {
    const std::string end = entry.path().extension();
    if (entry.is_regular_file(none) && (end == ".safetensors" || end == ".gguf")) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Bytes of the file's beginning that were read; its pages are let go first. -1: it cannot be read.
int64_t read_beginning(const std::filesystem::path& path, size_t bytes_max) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  std::string piece(kPieceBytes, '\0');
  int64_t sum = 0;
  while (static_cast<size_t>(sum) < bytes_max) {
    const ssize_t n = ::read(file, piece.data(), piece.size());
    if (n <= 0) break;
    sum += n;
  }
  ::close(file);
  return sum;
}

}  // namespace

std::vector<Finding> findings_of_machine() {
  std::vector<Finding> out = {look_at_device("cuda"), look_at_device("cpu")};
  const int64_t memory = available_memory();
  out.push_back({memory < kMemoryLeast ? Level::kProblem : Level::kFine,
                 absl::StrCat(bytes_text(static_cast<double>(memory)), " of memory are available to this process"),
                 memory < kMemoryLeast ? "raise the container's memory limit, or stop what else runs" : ""});
  const int cores = base::available_cores();
  double load[1] = {0};
  const bool busy = ::getloadavg(load, 1) == 1 && load[0] > 1.5 * cores;
  out.push_back(
      {busy ? Level::kNote : Level::kFine,
       absl::StrCat(cores, " cores are this process's; the load is ", std::to_string(static_cast<int>(load[0]))),
       busy ? "other programs compute beside it: speed will vary" : ""});
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < kFilesLeast) {
    out.push_back({Level::kNote, absl::StrCat("at most ", files.rlim_max, " files may be open"),
                   "raise ulimit -n: each connection takes one"});
  }
  return out;
}

absl::StatusOr<std::vector<Finding>> findings_of_disk(const std::string& path) {
  const auto files = weight_files(path);
  if (files.empty()) return absl::NotFoundError(absl::StrCat(path, ": no *.safetensors or *.gguf"));
  double bytes = 0, read = 0, seconds = 0;
  std::error_code none;
  for (const auto& file : files) {
    const uintmax_t size = std::filesystem::file_size(file, none);
    bytes += none ? 0 : static_cast<double>(size);
    if (read >= static_cast<double>(kReadBytesMax)) continue;
    const double begin = base::steady_seconds();
    const int64_t n = read_beginning(file, kReadBytesMax - static_cast<size_t>(read));
    if (n < 0) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": cannot be read"));
    seconds += base::steady_seconds() - begin;
    read += static_cast<double>(n);
  }
  if (read <= 0 || seconds <= 0) return absl::InvalidArgumentError(absl::StrCat(path, ": the files are empty"));
  return std::vector<Finding>{disk_finding(bytes, read / seconds)};
}

}  // namespace polymath::commands
