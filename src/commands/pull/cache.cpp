#include "commands/pull/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/write_file.h"
#include "weights/hub_cache.h"

namespace polymath::commands {
namespace {

namespace fs = std::filesystem;

constexpr double kLockPause = 0.2;  // seconds between two attempts

absl::Status make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(path.string(), ": cannot be made: ", error.message()));
}

// A name for a file that takes another's place by rename().
fs::path own_name(const fs::path& path) { return absl::StrCat(path.string(), ".", getpid(), ".new"); }

absl::Status replace(const fs::path& with, const fs::path& path) {
  std::error_code error;
  fs::rename(with, path, error);
  if (!error) return absl::OkStatus();
  std::error_code ignored;
  fs::remove(with, ignored);
  return absl::UnavailableError(absl::StrCat(path.string(), ": cannot be written: ", error.message()));
}

absl::Status link_blob(const fs::path& snapshot, const HubFile& file) {
  const fs::path path = snapshot / file.path;
  RETURN_IF_ERROR(make_directory(path.parent_path()));
  // Up from the file's folder to the repository's, past snapshots/<commit>.
  fs::path target = "../..";
  for (const char c : file.path) {
    if (c == '/') target /= "..";
  }
  target = target / "blobs" / file.checksum;
  std::error_code error;
  if (fs::read_symlink(path, error) == target) return absl::OkStatus();
  const fs::path made = own_name(path);
  fs::remove(made, error);
  fs::create_symlink(target, made, error);
  if (error) return absl::UnavailableError(absl::StrCat(path.string(), ": cannot be linked: ", error.message()));
  return replace(made, path);
}

}  // namespace

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<ModelCache> ModelCache::open(const std::string& repository) {
  const std::vector<fs::path> caches = weights::hub_caches();
  if (caches.empty()) return absl::FailedPreconditionError("no cache: neither HF_HOME nor HOME is set");
  const std::string name = weights::hub_folder(repository);
  ModelCache cache(caches[0] / name, caches[0] / ".locks" / name);
  for (const fs::path& path :
       {cache.folder_ / "blobs", cache.folder_ / "snapshots", cache.folder_ / "refs", cache.locks_}) {
    RETURN_IF_ERROR(make_directory(path));
  }
  return cache;
}

fs::path ModelCache::incomplete(const HubFile& file) const { return blob(file).string() + ".incomplete"; }

bool ModelCache::has(const HubFile& file) const {
  std::error_code error;
  return fs::file_size(blob(file), error) == file.size && !error;
}

absl::StatusOr<FileLock> ModelCache::lock(const HubFile& file, const std::function<bool(double)>& pause) const {
  const std::string path = (locks_ / (file.checksum + ".lock")).string();
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  FileLock lock(fd);
  bool said = false;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be locked: ", std::strerror(errno)));
    }
    if (!said) base::log_info("pull", "another process downloads ", file.path, "; waiting for it");
    said = true;
    if (!pause(kLockPause)) return absl::CancelledError("stopped");
  }
  return lock;
}

absl::Status ModelCache::publish(const std::string& commit, const std::string& revision,
                                 const std::vector<HubFile>& files) const {
  for (const HubFile& file : files) RETURN_IF_ERROR(link_blob(snapshot(commit), file));
  if (revision == commit) return absl::OkStatus();
  const fs::path ref = folder_ / "refs" / revision;
  const fs::path made = own_name(ref);
  RETURN_IF_ERROR(base::write_file(made.string(), commit));
  return replace(made, ref);
}

uint64_t ModelCache::missing_bytes(const std::vector<HubFile>& files) const {
  uint64_t bytes = 0;
  std::set<std::string> counted;  // contents, not names
  for (const HubFile& file : files) {
    if (has(file) || !counted.insert(file.checksum).second) continue;
    std::error_code error;
    const uint64_t there = fs::file_size(incomplete(file), error);
    bytes += error ? file.size : file.size - std::min(there, file.size);
  }
  return bytes;
}

absl::StatusOr<uint64_t> ModelCache::free_bytes() const {
  struct statvfs stat {};
  if (statvfs(folder_.c_str(), &stat) != 0) {
    return absl::UnavailableError(absl::StrCat(folder_.string(), ": ", std::strerror(errno)));
  }
  return static_cast<uint64_t>(stat.f_bavail) * stat.f_frsize;
}

}  // namespace polymath::commands
