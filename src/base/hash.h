#pragma once

// Incremental SHA-256 (OpenSSL). Only the constructor allocates.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace polymath::base {

using Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(const void* data, size_t bytes);
  Digest finish();  // and resets

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Cryptographically random bytes from the operating system. Aborts if it has none.
void random_bytes(void* out, size_t bytes);

}  // namespace polymath::base
