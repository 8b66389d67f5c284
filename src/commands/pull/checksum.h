#pragma once

// The checksums by which a hub names its files' contents; both are lower-case hexadecimal.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace polymath::commands {

// Whether it is `n_digits` lower-case hexadecimal digits.
bool is_hex(std::string_view text, size_t n_digits);

inline constexpr size_t kSha1Digits = 40, kSha256Digits = 64;

class Checksum {
 public:
  enum class Kind {
    kSha256,   // of a file in Git's large file storage
    kGitBlob,  // SHA-1 of "blob <size>\0" and the file, as Git names it
  };
  Checksum(Kind kind, uint64_t size);
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void restart();
  void update(std::string_view bytes);
  std::string finish();  // REQUIRES: restart() before the next update()

 private:
  const Kind kind_;
  const uint64_t size_;
  evp_md_ctx_st* const context_;
};

}  // namespace polymath::commands
