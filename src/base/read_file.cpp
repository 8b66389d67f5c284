#include "base/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace polymath::base {
namespace {

// The size of an open file, within the bound.
absl::StatusOr<size_t> size_of(int fd, const std::string& path, size_t bytes_max) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return absl::DataLossError(absl::StrCat(path, ": ", std::strerror(errno)));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": is no regular file"));
  const auto size = static_cast<size_t>(info.st_size);
  if (size > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", size, " bytes; at most ", bytes_max, " are read"));
  }
  return size;
}

absl::Status read_all(int fd, const std::string& path, std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = read(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::DataLossError(absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
    if (n == 0) return absl::DataLossError(absl::StrCat(path, ": became shorter while it was read"));
    at += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// O_NONBLOCK: opening a FIFO must not wait for its other end.
absl::StatusOr<int> open_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  return fd;
}

}  // namespace

absl::StatusOr<std::string> read_file(const std::string& path, size_t bytes_max) {
  ASSIGN_OR_RETURN(const int fd, open_file(path));
  const auto closed = absl::MakeCleanup([fd] { close(fd); });
  ASSIGN_OR_RETURN(const size_t size, size_of(fd, path, bytes_max));
  std::string text(size, '\0');
  RETURN_IF_ERROR(read_all(fd, path, text));
  return text;
}

absl::Status check_file(const std::string& path, size_t bytes_max) {
  ASSIGN_OR_RETURN(const int fd, open_file(path));
  const auto closed = absl::MakeCleanup([fd] { close(fd); });
  return size_of(fd, path, bytes_max).status();
}

}  // namespace polymath::base
