#include "parallel/nodes/transfer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::parallel {
namespace {

constexpr size_t kHeader = sizeof(FlowHeader);
static_assert(kHeader == 16);
constexpr size_t kFlowsMax = 64;  // more: a CHECK

bool sends(const Flow& flow) {
  return flow.out.operation != Operation::kNone && flow.sent < kHeader + flow.send.size();
}
bool receives(const Flow& flow) {
  return flow.expect.operation != Operation::kNone && flow.received < kHeader + flow.receive.size();
}

absl::Status gone(const Flow& flow, const char* why) {
  return absl::UnavailableError(absl::StrCat("node ", flow.peer, ": ", why));
}

// What is left of a header and the data behind it.
std::array<iovec, 2> rest(void* header, void* data, size_t bytes, size_t done) {
  const size_t of_header = std::min(done, kHeader), of_data = done - of_header;
  return {iovec{static_cast<char*>(header) + of_header, kHeader - of_header},
          iovec{static_cast<char*>(data) + of_data, bytes - of_data}};
}

absl::Status push(Flow& flow) {
  auto parts = rest(&flow.out, const_cast<std::byte*>(flow.send.data()), flow.send.size(), flow.sent);
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t n = sendmsg(flow.fd, &message, MSG_NOSIGNAL);
  if (n > 0) flow.sent += static_cast<size_t>(n);
  return n >= 0 || errno == EAGAIN || errno == EINTR ? absl::OkStatus() : gone(flow, std::strerror(errno));
}

absl::Status check_header(const Flow& flow) {
  const FlowHeader &a = flow.arrived, &e = flow.expect;
  if (a.operation == e.operation && a.sequence == e.sequence && a.bytes == e.bytes) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("node ", flow.peer, " sent ", a.bytes, " bytes of operation ",
                                          static_cast<uint32_t>(a.operation), " number ", a.sequence, "; expected are ",
                                          e.bytes, " of ", static_cast<uint32_t>(e.operation), " number ", e.sequence));
}

// As much as is there. The header comes alone first: data is read only where it fits.
absl::Status pull(Flow& flow) {
  while (receives(flow)) {
    const bool in_header = flow.received < kHeader;
    const iovec part = rest(&flow.arrived, flow.receive.data(), flow.receive.size(), flow.received)[in_header ? 0 : 1];
    const ssize_t n = recv(flow.fd, part.iov_base, part.iov_len, 0);
    if (n == 0) return gone(flow, "it closed the connection");
    if (n < 0) return errno == EAGAIN || errno == EINTR ? absl::OkStatus() : gone(flow, std::strerror(errno));
    flow.received += static_cast<size_t>(n);
    if (in_header && flow.received == kHeader) RETURN_IF_ERROR(check_header(flow));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status transfer(std::span<Flow> flows, const Interrupt& interrupt) {
  CHECK(flows.size() <= kFlowsMax);
  std::array<pollfd, kFlowsMax + 1> waits;
  for (Flow& flow : flows) {
    CHECK(flow.out.bytes == flow.send.size() && flow.expect.bytes == flow.receive.size());
    flow.sent = flow.received = 0;
  }
  while (true) {
    bool open = false;
    for (size_t i = 0; i < flows.size(); ++i) {
      Flow& flow = flows[i];
      if (sends(flow)) RETURN_IF_ERROR(push(flow));
      RETURN_IF_ERROR(pull(flow));
      const int events = (sends(flow) ? POLLOUT : 0) | (receives(flow) ? POLLIN : 0);
      waits[i] = {events != 0 ? flow.fd : -1, static_cast<short>(events), 0};
      open |= events != 0;
    }
    if (!open) return absl::OkStatus();
    waits[flows.size()] = {interrupt.fd(), POLLIN, 0};
    if (poll(waits.data(), flows.size() + 1, -1) < 0 && errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("poll: ", std::strerror(errno)));
    }
    if (waits[flows.size()].revents != 0) return absl::CancelledError("the group of nodes ends");
  }
}

}  // namespace polymath::parallel
