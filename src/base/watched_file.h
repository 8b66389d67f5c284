#pragma once

// A file that is read again when it changes.
//
//   WatchedFile file(path);
//   ASSIGN_OR_RETURN(std::string text, file.read(bytes_max));
//   if (file.changed()) ...           // since the last read(), by inode, size and time
//
// Thread safety: none.

#include <cstdint>
#include <string>
#include <utility>

#include "base/status.h"

namespace polymath::base {

class WatchedFile {
 public:
  explicit WatchedFile(std::string path) : path_(std::move(path)) {}

  bool changed() const { return !(stamp() == seen_); }
  // kNotFound, or kInvalidArgument for what is no regular file or longer than `bytes_max`; the message names the file.
  absl::StatusOr<std::string> read(size_t bytes_max);
  const std::string& path() const { return path_; }

 private:
  struct Stamp {
    uint64_t device = 0, inode = 0, bytes = 0;
    int64_t seconds = 0, nanoseconds = 0;
    bool operator==(const Stamp&) const = default;
  };
  Stamp stamp() const;  // zeros: there is no file

  std::string path_;
  Stamp seen_;
};

}  // namespace polymath::base
