#include "base/watched_file.h"

#include <sys/stat.h>

#include <fstream>

#include "absl/strings/str_cat.h"

namespace polymath::base {

WatchedFile::Stamp WatchedFile::stamp() const {
  struct stat info {};
  if (stat(path_.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size), info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

absl::StatusOr<std::string> WatchedFile::read(size_t bytes_max) {
  seen_ = stamp();  // before reading: a change meanwhile is seen later
  struct stat info {};
  if (stat(path_.c_str(), &info) != 0) return absl::NotFoundError(absl::StrCat(path_, ": cannot be opened"));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path_, ": is no regular file"));
  if (static_cast<uint64_t>(info.st_size) > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": at most ", bytes_max, " bytes are read"));
  }
  std::ifstream in(path_, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path_, ": cannot be opened"));
  std::string text(static_cast<size_t>(info.st_size), '\0');
  in.read(text.data(), info.st_size);
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

}  // namespace polymath::base
