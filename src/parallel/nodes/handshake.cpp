#include "parallel/nodes/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::parallel {
namespace {

constexpr char kMagic[8] = {'p', 'm', '-', 'n', 'o', 'd', 'e', '1'};

// As on the wire, little-endian. No padding.
struct Greeting {
  char magic[8];
  uint32_t channel, node, n_nodes, listen_port;
  char version[64];
  uint8_t settings[32];
  uint8_t nonce[32];
};
static_assert(sizeof(Greeting) == 152);

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

// Of the sender's greeting and then the receiver's: the two proofs of one connection differ.
base::Digest proof(const std::string& secret, const Greeting& sender, const Greeting& receiver) {
  std::byte both[2 * sizeof(Greeting)];
  std::memcpy(both, &sender, sizeof(Greeting));
  std::memcpy(both + sizeof(Greeting), &receiver, sizeof(Greeting));
  base::Digest out;
  CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const unsigned char*>(both),
             sizeof(both), out.data(), nullptr) != nullptr);
  return out;
}

Greeting greeting_of(const NodeIdentity& self, Channel channel, int listen_port) {
  Greeting g{};
  std::memcpy(g.magic, kMagic, sizeof(kMagic));
  g.channel = static_cast<uint32_t>(channel);
  g.node = static_cast<uint32_t>(self.at);
  g.n_nodes = static_cast<uint32_t>(self.size);
  g.listen_port = static_cast<uint32_t>(listen_port);
  std::memcpy(g.version, self.version.data(), std::min(self.version.size(), sizeof(g.version) - 1));
  std::copy(self.settings.begin(), self.settings.end(), g.settings);
  base::random_bytes(g.nonce, sizeof(g.nonce));
  return g;
}

absl::Status check_equal(const Greeting& mine, const Greeting& other, int expected) {
  const std::string who = absl::StrCat("node ", other.node);
  if (std::memcmp(mine.version, other.version, sizeof(mine.version)) != 0) {
    const std::string version(other.version, strnlen(other.version, sizeof(other.version)));
    return absl::FailedPreconditionError(
        absl::StrCat(who, " runs build ", version, ", this node ", std::string(mine.version)));
  }
  if (other.n_nodes != mine.n_nodes) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " was started with --nnodes ", other.n_nodes, ", this node with ", mine.n_nodes));
  }
  if (std::memcmp(mine.settings, other.settings, sizeof(mine.settings)) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " has another model, or other flags that say how it is split and computed"));
  }
  if (other.node == mine.node || other.node >= mine.n_nodes || (expected >= 0 && other.node != uint32_t(expected))) {
    return absl::FailedPreconditionError(
        absl::StrCat("--node-rank ", other.node, ": this place is taken, or there is no such one"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Greeted> greet(const Socket& socket, const NodeIdentity& self, const GreetOptions& options,
                              double deadline) {
  const Greeting mine = greeting_of(self, options.channel, options.listen_port);
  Greeting other;
  RETURN_IF_ERROR(write_all(socket, bytes_of(mine), deadline));
  RETURN_IF_ERROR(read_all(socket, std::as_writable_bytes(std::span(&other, 1)), deadline));
  if (std::memcmp(other.magic, kMagic, sizeof(kMagic)) != 0 || other.channel != mine.channel) {
    return absl::InvalidArgumentError("what answers there is no node of Polymath");
  }
  const base::Digest own_proof = proof(self.secret, mine, other), due = proof(self.secret, other, mine);
  base::Digest given;
  RETURN_IF_ERROR(write_all(socket, bytes_of(own_proof), deadline));
  RETURN_IF_ERROR(read_all(socket, std::as_writable_bytes(std::span(&given, 1)), deadline));
  if (CRYPTO_memcmp(given.data(), due.data(), due.size()) != 0) {
    return absl::PermissionDeniedError("the group's secret is another one there");
  }
  RETURN_IF_ERROR(check_equal(mine, other, options.expected));
  return Greeted{static_cast<int>(other.node), static_cast<int>(other.listen_port)};
}

}  // namespace polymath::parallel
