#include "base/hash.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace polymath::base {
namespace {

std::string hex(const Digest& digest) {
  std::string out;
  char two[3];
  for (const uint8_t byte : digest) {
    std::snprintf(two, sizeof(two), "%02x", byte);
    out += two;
  }
  return out;
}

// FIPS 180-4's examples.
TEST(Sha256, KnownDigests) {
  struct Row {
    std::string text;
    const char* digest;
  };
  Sha256 sha;
  for (const auto& [text, digest] :
       {Row{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        Row{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        Row{std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}}) {
    sha.update(text.data(), text.size());
    EXPECT_EQ(digest, hex(sha.finish())) << "one object, used again";
    for (const char c : std::string_view(text).substr(0, 100)) sha.update(&c, 1);
    const std::string bytewise = hex(sha.finish());
    if (text.size() <= 100) {
      EXPECT_EQ(digest, bytewise) << "byte by byte";
    }
  }
}

TEST(RandomBytes, FillEverything) {
  std::vector<uint8_t> a(100000), b(100000);
  random_bytes(a.data(), a.size());
  random_bytes(b.data(), b.size());
  EXPECT_NE(a, b);
  int zeros = 0;
  for (size_t i = a.size() - 1000; i < a.size(); ++i) zeros += a[i] == 0;
  EXPECT_LT(zeros, 100) << "the tail was not filled";
  random_bytes(nullptr, 0);
}

struct HasStatus {
  absl::Status status_ = absl::NotFoundError("mine");
  absl::Status forward() {
    RETURN_IF_ERROR(status_);
    return absl::OkStatus();
  }
};

absl::StatusOr<int> twice(absl::StatusOr<int> in) {
  ASSIGN_OR_RETURN(const int value, in);
  ASSIGN_OR_RETURN(int same, in);
  return value + same;
}

TEST(Status, MacrosHandFailuresUp) {
  EXPECT_EQ("mine", HasStatus().forward().message());
  EXPECT_EQ(4, *twice(2));
  EXPECT_EQ(absl::StatusCode::kDataLoss, twice(absl::DataLossError("x")).status().code());
}

TEST(Clock, GoesForward) {
  const double a = steady_seconds();
  EXPECT_GE(steady_seconds(), a);
}

}  // namespace
}  // namespace polymath::base
