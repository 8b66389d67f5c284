#include "weights/mapped_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/process/fatal.h"
#include "base/process/mapped_ranges.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

TEST(MappedFileDeathTest, AFileThatIsCutWhileItIsReadIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryDirectory directory;
  directory.write("big", std::string(1 << 16, 'x'));
  const auto read_after_the_cut = [&] {
    base::explain_lost_pages();
    const auto other = MappedFile::open(directory.at("big"));
    auto file = MappedFile::open(directory.at("big"));
    MappedFile moved = *std::move(file);
    if (truncate(directory.at("big").c_str(), 4096) != 0) return;
    [[maybe_unused]] const volatile std::byte lost = moved.bytes()[40960];
  };
  EXPECT_EXIT(read_after_the_cut(), testing::ExitedWithCode(base::kExitFatal),
              "big: byte 40960 cannot be read: the file was cut");
}

}  // namespace
}  // namespace polymath::weights
