#pragma once

// A file mapped to be read, whole, for as long as the object lives.
//
// A page is fetched when it is first touched. That another process shortens the file meanwhile is not guarded
// against: touching what is gone then ends the process (SIGBUS), as with every mapped file.
//
// Thread safety: everything const may be called from many threads at once.

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/status.h"

namespace polymath::weights {

class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile();

  // kNotFound: cannot be opened; kInvalidArgument: no regular file; kDataLoss: empty; kInternal: cannot be mapped.
  static absl::StatusOr<MappedFile> open(const std::string& path);

  std::span<const std::byte> bytes() const { return bytes_; }

  // `part` is a piece of bytes(). Will be read soon: the kernel begins to fetch it, and this returns.
  static void will_need(std::span<const std::byte> part);
  // Is not needed any more: pages that hold nothing else leave this process.
  static void drop(std::span<const std::byte> part);

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace polymath::weights
