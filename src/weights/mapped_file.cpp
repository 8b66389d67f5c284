#include "weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/process/mapped_ranges.h"

namespace polymath::weights {
namespace {

uintptr_t page_bytes() {
  static const auto bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// One madvise() call fetches at most this much ahead. Gigabytes at once would delay other threads' reads.
constexpr uintptr_t kPieceBytes = 8u << 20;

absl::StatusOr<std::span<const std::byte>> map_file(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return absl::InternalError(absl::StrCat(path, ": ", std::strerror(errno)));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": is no regular file"));
  if (info.st_size == 0) return absl::DataLossError(absl::StrCat(path, ": the file is empty"));
  const auto size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return absl::InternalError(absl::StrCat(path, ": cannot be mapped: ", std::strerror(errno)));
  return std::span(static_cast<const std::byte*>(data), size);
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not make us wait
  if (fd < 0) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  auto mapped = map_file(fd, path);
  close(fd);
  if (!mapped.ok()) return mapped.status();
  return MappedFile(*mapped, base::remember_mapping(mapped->data(), mapped->size(), path));
}

MappedFile::~MappedFile() {
  base::forget_mapping(row_);
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::will_need(std::span<const std::byte> part) {
  uintptr_t at = reinterpret_cast<uintptr_t>(part.data()) / page_bytes() * page_bytes();
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size());
  for (; at < end; at += kPieceBytes) {
    madvise(reinterpret_cast<void*>(at), std::min(kPieceBytes, end - at), MADV_WILLNEED);
  }
}

void MappedFile::drop(std::span<const std::byte> part) {
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page_bytes() - 1) / page_bytes() * page_bytes();
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page_bytes() * page_bytes();
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace polymath::weights
