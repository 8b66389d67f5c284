#include "base/read_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "base/json.h"

namespace polymath::base {
namespace {

// A FIFO would make a plain open() wait for its writer for ever.
TEST(ReadFile, OnlyRegularFilesAreRead) {
  const std::string directory = testing::TempDir(), file = directory + "polymath_read_file";
  const std::string fifo = file + ".fifo", absent = file + ".absent";
  std::ofstream(file) << "four";
  std::remove(fifo.c_str());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  using enum absl::StatusCode;
  const struct {
    std::string path;
    size_t bytes_max;
    absl::StatusCode code;
    const char* says;
  } rows[] = {
      {file, 4, kOk, ""},
      {file, 3, kInvalidArgument, "4 bytes; at most 3"},
      {fifo, 4, kInvalidArgument, "no regular file"},
      {directory, 4, kInvalidArgument, "no regular file"},
      {"/dev/zero", 4, kInvalidArgument, "no regular file"},
      {absent, 4, kNotFound, "cannot be opened"},
  };
  for (const auto& row : rows) {
    const auto text = read_file(row.path, row.bytes_max);
    EXPECT_EQ(text.status().code(), row.code) << row.path << text.status();
    EXPECT_EQ(check_file(row.path, row.bytes_max).code(), row.code) << row.path;
    const std::string message(text.status().message());
    EXPECT_NE(message.find(row.says), std::string::npos) << message;
    EXPECT_EQ(text.ok(), message.find(row.path) == std::string::npos) << message;
  }
  EXPECT_EQ(*read_file(file, 4), "four");
  EXPECT_EQ(read_json_file(fifo, {}).status().code(), kInvalidArgument);
  std::remove(fifo.c_str());
  std::remove(file.c_str());
}

TEST(ReadFile, AnEmptyFileIsEmptyText) {
  const std::string file = testing::TempDir() + "polymath_read_file.empty";
  std::ofstream(file).flush();
  EXPECT_EQ(*read_file(file, 0), "");
  std::remove(file.c_str());
}

}  // namespace
}  // namespace polymath::base
