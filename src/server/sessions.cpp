#include "server/sessions.h"

#include "server/session.h"

namespace polymath::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Bytes of a connection that was just answered or accepted may be on the way. It does not give way yet. A spare one
// does: a probe among many silent connections sends its head at once.
constexpr milliseconds kIdleMin{200}, kHeadlessMin{1000}, kBodyMin{2000}, kSpareMin{0};

template <typename Enum>
size_t index(Enum value) {
  return static_cast<size_t>(value);
}

}  // namespace

Sessions::List& Sessions::list_of(Class kind, Standing standing) { return open_[index(kind)][index(standing)]; }

bool Sessions::add(const std::shared_ptr<Session>& session, Class kind, const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  Seat& seat = session->seat();
  const bool counts_address = limits_.connections_per_address_max > 0 && kind != Class::kProbePort;
  if (counts_address) seat.address = address;
  List& list = list_of(kind, Standing::kHeadless);
  list.push_back(session);
  seat.at = std::prev(list.end());
  if (counts_address) {
    try {
      ++by_address_[address];
    } catch (...) {
      list.pop_back();
      throw;
    }
  }
  seat.taken = true;
  seat.standing = Standing::kHeadless;
  seat.kind = kind;
  seat.since = Clock::now();
  ++counts_[index(kind)];
  return true;
}

void Sessions::remove(Session& session) {
  std::shared_ptr<Session> last;  // destroyed after the lock is released
  const std::lock_guard lock(mutex_);
  Seat& seat = session.seat();
  if (!seat.taken) return;
  seat.taken = false;
  last = std::move(*seat.at);
  list_of(seat.kind, seat.standing).erase(seat.at);
  if (!seat.leaving) --counts_[index(seat.kind)];
  const auto same = by_address_.find(seat.address);
  if (same != by_address_.end() && --same->second == 0) by_address_.erase(same);
}

void Sessions::mark(Session& session, Standing standing) {
  const std::lock_guard lock(mutex_);
  Seat& seat = session.seat();
  if (!seat.taken || (seat.standing == standing && standing != Standing::kBody)) return;
  if (seat.leaving) ++counts_[index(seat.kind)];  // it was chosen a moment too late, and stays
  seat.leaving = false;
  List& to = list_of(seat.kind, standing);
  to.splice(to.end(), list_of(seat.kind, seat.standing), seat.at);
  seat.standing = standing;
  seat.since = Clock::now();
}

bool Sessions::has_room(Class kind) const {
  const int max = kind == Class::kRegular ? limits_.connections_max : limits_.spare_connections_max;
  const std::lock_guard lock(mutex_);
  return counts_[index(kind)] < static_cast<size_t>(max);
}

bool Sessions::has_room_for(const std::string& address) const {
  if (limits_.connections_per_address_max <= 0) return true;
  const std::lock_guard lock(mutex_);
  const auto found = by_address_.find(address);
  return found == by_address_.end() || found->second < limits_.connections_per_address_max;
}

// The one that has been in this list for longest, if it has been so long.
std::shared_ptr<Session> Sessions::choose_locked(Class kind, Standing standing, milliseconds min) {
  const auto now = Clock::now();
  for (const auto& session : list_of(kind, standing)) {
    Seat& seat = session->seat();
    if (now - seat.since < min) break;
    if (seat.leaving) continue;
    seat.leaving = true;
    --counts_[index(kind)];
    return session;
  }
  return nullptr;
}

std::shared_ptr<Session> Sessions::choose_locked(Class kind) {
  const struct {
    Standing standing;
    milliseconds min;
  } rows[] = {{Standing::kIdle, kind == Class::kRegular ? kIdleMin : kSpareMin},
              {Standing::kHeadless, kind == Class::kRegular ? kHeadlessMin : kSpareMin},
              {Standing::kBody, kind == Class::kRegular ? kBodyMin : kSpareMin},
              {Standing::kUnread, milliseconds(0)}};
  for (const auto& row : rows) {
    if (auto chosen = choose_locked(kind, row.standing, row.min)) return chosen;
  }
  return nullptr;
}

bool Sessions::make_room(Class kind) {
  std::shared_ptr<Session> chosen;
  {
    const std::lock_guard lock(mutex_);
    chosen = choose_locked(kind);
  }
  if (chosen == nullptr) return false;
  chosen->give_way();
  return true;
}

void Sessions::make_room_of_unread() {
  std::shared_ptr<Session> chosen;
  {
    const std::lock_guard lock(mutex_);
    chosen = choose_locked(Class::kRegular, Standing::kUnread, milliseconds(0));
  }
  if (chosen != nullptr) chosen->give_way();
}

size_t Sessions::size() const {
  const std::lock_guard lock(mutex_);
  size_t n = 0;
  for (const auto& lists : open_) {
    for (const List& list : lists) n += list.size();
  }
  return n;
}

void Sessions::close_all() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& lists : open_) {
    for (const List& list : lists) {
      for (const auto& session : list) session->close();
    }
  }
}

}  // namespace polymath::server
