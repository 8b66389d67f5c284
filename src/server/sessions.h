#pragma once

// The open connections, and which of them gives way when there is no room for a new one.
//
// Thread safety: all of it. No call into a Session is made under the lock, but for close_all(), which only posts.

#include <array>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "server/http_server.h"

namespace polymath::server {

class Session;

class Sessions {
 public:
  enum class Standing {
    kHeadless,  // a head is awaited, and none has come: the connection may give way
    kIdle,      // between two requests, or behind the last: the same, and sooner
    kBody,      // a body is awaited, and its last bytes came at `since`: it may give way where they come too slowly
    kUnread,    // an answer waits, and its peer reads too slowly: it may give way
    kBusy,
    kCount
  };
  enum class Class {
    kRegular,    // one of connections_max
    kSpare,      // one of spare_connections_max: only probes are answered
    kProbePort,  // came to the probe port; as many as spares
    kCount
  };
  using List = std::list<std::shared_ptr<Session>>;

  // A connection's place here. Only Sessions reads and writes it.
  struct Seat {
    bool taken = false, leaving = false;
    Standing standing = Standing::kHeadless;
    Class kind = Class::kRegular;
    std::chrono::steady_clock::time_point since;
    std::string address;  // counted; empty: not counted
    List::iterator at;
  };

  explicit Sessions(const HttpLimits& limits) : limits_(limits) {}

  // Kept alive here until remove(). False: close_all() came first.
  bool add(const std::shared_ptr<Session>& session, Class kind, const std::string& address);
  void remove(Session& session);
  void mark(Session& session, Standing standing);  // again kBody: more of the body has come

  bool has_room(Class kind) const;
  bool has_room_for(const std::string& address) const;  // connections_per_address_max
  // Makes room for one more of that class. One gives way: the idle for longest, else the headless for longest. Else it
  // is the slowest to send a body, else a slow reader. False: none waits long enough.
  bool make_room(Class kind);
  void make_room_of_unread();  // one slow reader, if there is one

  size_t size() const;
  void close_all();  // for good

 private:
  std::shared_ptr<Session> choose_locked(Class kind);
  std::shared_ptr<Session> choose_locked(Class kind, Standing standing, std::chrono::milliseconds min);
  List& list_of(Class kind, Standing standing);

  const HttpLimits limits_;
  mutable std::mutex mutex_;
  bool closed_ = false;
  using ByStanding = std::array<List, static_cast<size_t>(Standing::kCount)>;
  std::array<ByStanding, static_cast<size_t>(Class::kCount)> open_;  // in each list the longest first
  std::array<size_t, static_cast<size_t>(Class::kCount)> counts_{};  // without those that give way
  std::unordered_map<std::string, int> by_address_;                  // where connections_per_address_max is set
};

}  // namespace polymath::server
