#pragma once

// One repository in the local cache, laid out as huggingface_hub does, so that each finds what the other downloaded:
//
//   models--org--name/blobs/<checksum>                    contents; <checksum>.incomplete: a part of them
//   models--org--name/snapshots/<commit>/<path>           a relative link to a blob
//   models--org--name/refs/<revision>                     a commit
//   .locks/models--org--name/<checksum>.lock              held by the process that writes the blob
//
// Thread safety: const methods may run at once.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "commands/pull/listing.h"

namespace polymath::commands {

// Held until destruction; another process's or thread's end of it comes with the descriptor.
class FileLock {
 public:
  explicit FileLock(int fd) : fd_(fd) {}
  ~FileLock();
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;

 private:
  int fd_;
};

class ModelCache {
 public:
  // In the first of weights::hub_caches(). Makes its directories. kFailedPrecondition: no cache is named, or it cannot
  // be written.
  static absl::StatusOr<ModelCache> open(const std::string& repository);

  std::filesystem::path blob(const HubFile& file) const { return folder_ / "blobs" / file.checksum; }
  std::filesystem::path incomplete(const HubFile& file) const;
  std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }
  bool has(const HubFile& file) const;  // its blob, whole

  // Waits for the process that holds it; `pause` between attempts, false from it: kCancelled.
  absl::StatusOr<FileLock> lock(const HubFile& file, const std::function<bool(double seconds)>& pause) const;

  // Makes the snapshot of these files, whose blobs are there, and then lets the revision name it.
  absl::Status publish(const std::string& commit, const std::string& revision, const std::vector<HubFile>& files) const;

  // Bytes that `files` still need, and bytes that the file system has for them.
  uint64_t missing_bytes(const std::vector<HubFile>& files) const;
  absl::StatusOr<uint64_t> free_bytes() const;

 private:
  ModelCache(std::filesystem::path folder, std::filesystem::path locks)
      : folder_(std::move(folder)), locks_(std::move(locks)) {}

  std::filesystem::path folder_, locks_;
};

}  // namespace polymath::commands
