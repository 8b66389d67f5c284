#include "base/line_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace polymath::base {
namespace {

std::string dropped(uint64_t n) { return std::to_string(n) + " dropped\n"; }

struct Ends {
  int read = -1, write = -1;
};

Ends a_pipe() {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  return {ends[0], ends[1]};
}

Ends a_socket() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  return {ends[0], ends[1]};
}

std::string read_until(int fd, std::string_view end) {
  std::string text;
  char piece[4096];
  while (text.find(end) == std::string::npos) {
    const ssize_t n = read(fd, piece, sizeof(piece));
    if (n <= 0) break;
    text.append(piece, static_cast<size_t>(n));
  }
  return text;
}

// Nothing reads: write() returns at once, always; what fits the bound comes later in order, the rest is counted.
TEST(LineWriter, AFullPipeOrSocketKeepsNoWriterWaiting) {
  for (Ends (*make)() : {a_pipe, a_socket}) {
    const Ends ends = make();
    static auto& kept = *new std::vector<LineWriter*>;  // for good: their threads may stay
    kept.push_back(new LineWriter({.fd = ends.write, .bytes_max = 10000, .dropped = dropped}));
    LineWriter* const writer = kept.back();
    const double begin = steady_seconds();
    int n = 0;
    for (; n < 20000; ++n) writer->write("line " + std::to_string(n) + std::string(90, '.') + "\n");
    EXPECT_LT(steady_seconds() - begin, 5);
    EXPECT_FALSE(writer->flush(0.05));
    EXPECT_FALSE(fcntl(ends.write, F_GETFL) & O_NONBLOCK) << "the description is shared with other processes";
    const std::string text = read_until(ends.read, "dropped\n");
    EXPECT_TRUE(writer->flush(5));
    size_t at = 0;
    int seen = 0;
    for (; text.compare(at, 5, "line ") == 0; ++seen, at = text.find('\n', at) + 1) {
      ASSERT_EQ(text.compare(at, 6 + std::to_string(seen).size(), "line " + std::to_string(seen) + "."), 0) << seen;
    }
    EXPECT_EQ(text.substr(at), dropped(static_cast<uint64_t>(n - seen)));
    writer->write("after\n");
    EXPECT_EQ(read_until(ends.read, "after\n"), "after\n");
    close(ends.read);
    close(ends.write);
  }
}

TEST(LineWriter, AClosedDescriptorLosesLinesAndWaitsForNothing) {
  const Ends ends = a_pipe();
  close(ends.read);
  signal(SIGPIPE, SIG_IGN);
  LineWriter writer({.fd = ends.write, .dropped = dropped});
  writer.write("lost\n");
  EXPECT_TRUE(writer.flush(0));
  close(ends.write);
  writer.write("lost\n");
  EXPECT_TRUE(writer.flush(0));
  signal(SIGPIPE, SIG_DFL);
}

}  // namespace
}  // namespace polymath::base
