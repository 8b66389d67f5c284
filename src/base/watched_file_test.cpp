#include "base/watched_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace polymath::base {
namespace {

TEST(WatchedFile, IsReadAgainWhenItChanges) {
  const std::string path = testing::TempDir() + "watched_" + std::to_string(getpid());
  WatchedFile file(path);
  EXPECT_EQ(file.read(100).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(file.changed()) << "still absent";
  std::ofstream(path) << "one";
  EXPECT_TRUE(file.changed());
  EXPECT_EQ(*file.read(100), "one");
  EXPECT_FALSE(file.changed());
  EXPECT_FALSE(file.read(2).ok());
  std::ofstream(path + ".new") << "two";
  ASSERT_EQ(0, std::rename((path + ".new").c_str(), path.c_str()));
  EXPECT_TRUE(file.changed()) << "another file of the same size";
  EXPECT_EQ(*file.read(100), "two");
  unlink(path.c_str());
}

TEST(WatchedFile, ReadsRegularFilesOnly) {
  const std::string path = testing::TempDir() + "watched_pipe_" + std::to_string(getpid());
  ASSERT_EQ(0, mkfifo(path.c_str(), 0600));
  EXPECT_EQ(WatchedFile(path).read(100).status().code(), absl::StatusCode::kInvalidArgument);
  unlink(path.c_str());
}

}  // namespace
}  // namespace polymath::base
