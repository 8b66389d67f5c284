// What a hub says, believed and not.

#include "commands/pull/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

using testing::HasSubstr;

constexpr const char* kSha1 = "0123456789abcdef0123456789abcdef01234567";
const std::string kSha256(64, 'a');

TEST(Listing, ACommit) {
  EXPECT_EQ(*parse_commit(std::string(R"({"id": "org/m", "sha": ")") + kSha1 + R"("})"), kSha1);
  for (const char* text : {"", "[]", "{}", R"({"sha": 1})", R"({"sha": "main"})", R"({"sha": "../../../etc"})"}) {
    EXPECT_EQ(parse_commit(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Listing, SmallAndLargeFiles) {
  std::vector<HubFile> files;
  const std::string page = std::string(R"([{"type":"directory","oid":"x","path":"d"},)") + R"({"type":"file","oid":")" +
                           kSha1 + R"(","size":7,"path":"d/b.json"},)" + R"({"type":"file","oid":")" + kSha1 +
                           R"(","size":1,"path":"a.safetensors","lfs":{"oid":")" + kSha256 +
                           R"(","size":5000000000,"pointerSize":134}}])";
  ASSERT_TRUE(add_listing_page(page, files).ok());
  ASSERT_TRUE(finish_listing(files).ok());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "a.safetensors");
  EXPECT_EQ(files[0].size, 5000000000u);
  EXPECT_EQ(files[0].checksum, kSha256);
  EXPECT_EQ(files[1].kind, Checksum::Kind::kGitBlob);
  EXPECT_EQ(files[1].checksum, kSha1);
}

TEST(Listing, Paths) {
  for (const char* path : {"a", "a/b.json", ".gitattributes", "a..b", "\xe4\xb8\xad.json", "a b"}) {
    EXPECT_TRUE(check_hub_path(path).ok()) << path;
  }
  for (const char* path : {"", "/a", "..", "a/..", "./a", "a//b", "a/", "a\\b", "a\nb", "a\x7f"}) {
    EXPECT_EQ(check_hub_path(path).code(), absl::StatusCode::kInvalidArgument) << path;
  }
}

TEST(Listing, AFileIsNoFolder) {
  std::vector<HubFile> files = {{.path = "a/b"}, {.path = "a-b"}, {.path = "a"}};
  EXPECT_THAT(std::string(finish_listing(files).message()), HasSubstr("`a` twice"));
  files = {{.path = "a-b"}, {.path = "ab"}, {.path = "a"}};
  EXPECT_TRUE(finish_listing(files).ok());
}

TEST(Listing, NextPage) {
  EXPECT_EQ(next_page(R"(<https://h/t?c=1>; rel="next")"), "https://h/t?c=1");
  EXPECT_EQ(next_page(R"(<https://h/0>; rel="first", </n>; rel=next)"), "/n");
  for (const char* link : {"", "<", "<a", "<a>", R"(<a>; rel="last")", "rel=next"})
    EXPECT_EQ(next_page(link), "") << link;
}

// By sha256sum and git hash-object.
TEST(Checksum, Known) {
  Checksum sha256(Checksum::Kind::kSha256, 1), blob(Checksum::Kind::kGitBlob, 1);
  for (int i = 0; i < 2; ++i) {
    sha256.restart(), blob.restart();
    sha256.update("x"), blob.update("x");
    EXPECT_EQ(sha256.finish(), "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
    EXPECT_EQ(blob.finish(), "c1b0730e0133447badcfd47fd144e254807b06e1");
  }
}

}  // namespace
}  // namespace polymath::commands
