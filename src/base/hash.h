#pragma once

// SHA-256 (OpenSSL), as an incremental object that allocates only when it is made.

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
  Digest finish();  // and starts anew

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Bytes nobody can guess, from the operating system. Dies if there are none.
void random_bytes(void* out, size_t bytes);

}  // namespace polymath::base
