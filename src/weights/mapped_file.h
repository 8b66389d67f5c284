#pragma once

// A whole file, mapped for reading while the object lives.
//
// A page is fetched at its first use. REQUIRES: no other process shortens the file meanwhile. Using a lost page ends
// this process (SIGBUS), with a sentence that names the file where base::explain_lost_pages() was called.
//
// Thread safety: const methods may run at once.

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/status.h"

namespace polymath::weights {

class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : bytes_(std::exchange(other.bytes_, {})), row_(std::exchange(other.row_, -1)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(row_, other.row_);
    return *this;
  }
  ~MappedFile();

  // kNotFound: cannot be opened. kInvalidArgument: not a regular file. kDataLoss: empty. kInternal: cannot be mapped.
  static absl::StatusOr<MappedFile> open(const std::string& path);

  std::span<const std::byte> bytes() const { return bytes_; }

  // Starts to fetch `part`, a piece of bytes(), and returns at once.
  static void will_need(std::span<const std::byte> part);
  // Releases the pages that hold only `part`.
  static void drop(std::span<const std::byte> part);

 private:
  MappedFile(std::span<const std::byte> bytes, int row) : bytes_(bytes), row_(row) {}
  std::span<const std::byte> bytes_;
  int row_ = -1;  // in base's table of mappings
};

}  // namespace polymath::weights
