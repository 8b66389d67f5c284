#include "commands/pull/transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace polymath::commands {
namespace {

constexpr size_t kReadBytes = 1 << 20;

// The .incomplete file, its length and the checksum of what it has. Only the holder of the blob's lock opens it.
class PartialFile {
 public:
  PartialFile(const HubFile& file, std::string path)
      : file_(file), path_(std::move(path)), checksum_(file.kind, file.size) {}
  ~PartialFile() {
    if (fd_ >= 0) close(fd_);
  }

  // Reads what an earlier pull left.
  absl::Status open() {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    struct stat stat {};
    if (fd_ < 0 || fstat(fd_, &stat) != 0) return failure("cannot be opened");
    if (static_cast<uint64_t>(stat.st_size) > file_.size) return restart();
    std::string buffer(kReadBytes, '\0');
    while (true) {
      const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failure("cannot be read");
      if (n == 0) return absl::OkStatus();
      checksum_.update({buffer.data(), static_cast<size_t>(n)});
      size_ += static_cast<uint64_t>(n);
    }
  }

  absl::Status restart() {
    if (ftruncate(fd_, 0) != 0 || lseek(fd_, 0, SEEK_SET) != 0) return failure("cannot be emptied");
    size_ = 0;
    checksum_.restart();
    return absl::OkStatus();
  }

  absl::Status append(std::string_view bytes) {
    checksum_.update(bytes);
    size_ += bytes.size();
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failure("cannot be written");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  // Gives it the blob's name; kDataLoss: its contents are others.
  absl::Status finish(const std::string& blob) {
    const std::string found = checksum_.finish();
    if (found != file_.checksum) {
      return absl::DataLossError(absl::StrCat(file_.path, " is corrupt: its ",
                                              file_.kind == Checksum::Kind::kSha256 ? "sha256" : "git sha1", " is ",
                                              found, ", the hub says ", file_.checksum));
    }
    if (fsync(fd_) != 0) return failure("cannot be written");
    if (std::rename(path_.c_str(), blob.c_str()) != 0) return failure("cannot be renamed");
    return absl::OkStatus();
  }

  uint64_t size() const { return size_; }
  bool whole() const { return size_ == file_.size; }

 private:
  absl::Status failure(const char* what) const {
    const std::string sentence = absl::StrCat(path_, ": ", what, ": ", std::strerror(errno));
    const bool full = errno == ENOSPC || errno == EDQUOT;
    return full ? absl::ResourceExhaustedError(sentence) : absl::FailedPreconditionError(sentence);
  }

  const HubFile& file_;
  const std::string path_;
  Checksum checksum_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Whether a 206 begins where it was asked to. A server that ignores Range answers 200.
bool continues(const http::ResponseHead& head, uint64_t offset, uint64_t size) {
  return head.status == 206 && head.header("content-range") == absl::StrCat("bytes ", offset, "-", size - 1, "/", size);
}

absl::Status take_back(PartialFile& partial, PullProgress& progress) {
  progress.there(-static_cast<int64_t>(partial.size()));
  return partial.restart();
}

// One request, from where the file ends.
absl::Status fetch_once(const HubFile& file, PartialFile& partial, const Transfer& transfer, double& retry_s) {
  ASSIGN_OR_RETURN(const auto answer, transfer.hub.open(transfer.commit, file, partial.size(), retry_s));
  if (partial.size() > 0 && !continues(answer->head(), partial.size(), file.size)) {
    RETURN_IF_ERROR(take_back(partial, transfer.progress));
    if (answer->head().status != 200) return absl::UnavailableError(absl::StrCat(file.path, ": another part was sent"));
  }
  std::string piece;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, answer->read(piece));
    if (!more) break;
    if (!transfer.pause(0)) return absl::CancelledError("stopped");
    if (piece.size() > file.size - partial.size()) {
      return absl::DataLossError(absl::StrCat(file.path, ": more than its ", file.size, " bytes were sent"));
    }
    RETURN_IF_ERROR(partial.append(piece));
    transfer.progress.arrived(piece.size());
  }
  if (partial.whole()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(file.path, " ended after ", partial.size(), " of ", file.size, " bytes"));
}

// Attempts are counted from 0 again where bytes arrived.
absl::Status fetch_rest(const HubFile& file, PartialFile& partial, const Transfer& transfer) {
  for (int attempt = 1; !partial.whole(); ++attempt) {
    const uint64_t before = partial.size();
    double retry_s = 0;
    const absl::Status status = fetch_once(file, partial, transfer, retry_s);
    if (status.ok()) break;
    if (partial.size() > before) attempt = 1;
    if (!transfer.hub.try_again(status, attempt, retry_s)) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status transfer_file(const HubFile& file, const Transfer& transfer) {
  ASSIGN_OR_RETURN(const FileLock lock, transfer.cache.lock(file, transfer.pause));
  if (transfer.cache.has(file)) {
    transfer.progress.there(static_cast<int64_t>(file.size));
    return absl::OkStatus();
  }
  PartialFile partial(file, transfer.cache.incomplete(file).string());
  RETURN_IF_ERROR(partial.open());
  if (partial.size() > 0) base::log_info("pull", file.path, ": resumed at ", bytes_text(partial.size()));
  transfer.progress.there(static_cast<int64_t>(partial.size()));
  RETURN_IF_ERROR(fetch_rest(file, partial, transfer));
  const std::string blob = transfer.cache.blob(file).string();
  absl::Status finished = partial.finish(blob);
  if (!absl::IsDataLoss(finished)) return finished;
  // The start may be of an earlier pull, and a network may flip a bit: a fresh copy decides.
  base::log_warning("pull", finished.message(), "; downloading it again");
  RETURN_IF_ERROR(take_back(partial, transfer.progress));
  RETURN_IF_ERROR(fetch_rest(file, partial, transfer));
  finished = partial.finish(blob);
  if (absl::IsDataLoss(finished)) RETURN_IF_ERROR(take_back(partial, transfer.progress));
  return finished;
}

}  // namespace polymath::commands
