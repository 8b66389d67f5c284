#include <algorithm>

#include "server/session.h"

namespace polymath::server {

void Session::set_due(Due which, double seconds) {
  due_[which] = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  arm_timer();
}

// A deadline that moves further away leaves the timer as it is. The timer fires early, finds nothing due, and is armed
// again. So many small writes do not touch the timer queue.
void Session::arm_timer() {
  const auto next = *std::min_element(due_.begin(), due_.end());
  if (next >= timer_at_ || phase_ == Phase::kClosed) return;
  timer_at_ = next;
  timer_.expires_at(next);
  timer_.async_wait([self = shared_from_this(), at = next](const boost::system::error_code&) {
    if (self->timer_at_ != at || self->phase_ == Phase::kClosed) return;  // replaced by an earlier one
    self->timer_at_ = Clock::time_point::max();
    self->guarded([&] { self->on_timer(); });
  });
}

void Session::on_timer() {
  const auto now = Clock::now();
  if (due_[kWriteBy] <= now) {
    core_->limits_hit.warn("write_timeout_s reached: a peer does not read; closed");
    return drop("does not read");
  }
  if (due_[kUnreadAt] <= now) {
    clear_due(kUnreadAt);
    note_unread();
  }
  if (due_[kProbeAt] <= now) {
    clear_due(kProbeAt);
    probe();
  }
  if (due_[kReadBy] <= now) {
    clear_due(kReadBy);
    on_read_due();
  }
  arm_timer();
}

void Session::on_read_due() {
  switch (phase_) {
    case Phase::kHandshake:
      return drop("no handshake in time");
    case Phase::kIdle:
    case Phase::kLinger:
      return shut(false);
    case Phase::kHead:
      if (kind_ == Sessions::Class::kSpare) {
        input_unread_ = true;
        return answer_and_close(503, "too many connections", {{"Retry-After", "1"}});
      }
      if (!parser_->started()) return shut(false);
      break;
    case Phase::kBody: {
      const double left = body_seconds_max() - std::chrono::duration<double>(Clock::now() - body_since_).count();
      if (left > 0) return set_due(kReadBy, left);
      break;
    }
    case Phase::kReply:
    case Phase::kClosed:
      return;
  }
  core_->limits_hit.warn("a request did not arrive in time: answering 408");
  input_unread_ = true;
  answer_and_close(408, "the request did not arrive in time");
}

}  // namespace polymath::server
