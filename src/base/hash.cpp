#include "base/hash.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace polymath::base {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { restart(); }
  ~State() { EVP_MD_CTX_free(context); }
  void restart() { CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t bytes) { CHECK(EVP_DigestUpdate(state_->context, data, bytes) == 1); }

Digest Sha256::finish() {
  Digest digest;
  CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr) == 1);
  state_->restart();
  return digest;
}

void random_bytes(void* out, size_t bytes) {
  auto* next = static_cast<uint8_t*>(out);
  while (bytes > 0) {
    const ssize_t got = getrandom(next, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    CHECK(got > 0);
    next += got;
    bytes -= static_cast<size_t>(got);
  }
}

}  // namespace polymath::base
