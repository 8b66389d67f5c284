#include "commands/pull/checksum.h"

#include <openssl/evp.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::commands {

bool is_hex(std::string_view text, size_t n_digits) {
  return text.size() == n_digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Checksum::Checksum(Kind kind, uint64_t size) : kind_(kind), size_(size), context_(EVP_MD_CTX_new()) { restart(); }

Checksum::~Checksum() { EVP_MD_CTX_free(context_); }

void Checksum::restart() {
  const bool large = kind_ == Kind::kSha256;
  CHECK(EVP_DigestInit_ex(context_, large ? EVP_sha256() : EVP_sha1(), nullptr) == 1);
  if (large) return;
  std::string head = absl::StrCat("blob ", size_);
  head.push_back('\0');
  update(head);
}

void Checksum::update(std::string_view bytes) { CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1); }

std::string Checksum::finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int n = 0;
  CHECK(EVP_DigestFinal_ex(context_, digest, &n) == 1);
  std::string out;
  for (unsigned int i = 0; i < n; ++i) absl::StrAppend(&out, absl::Hex(digest[i], absl::kZeroPad2));
  return out;
}

}  // namespace polymath::commands
