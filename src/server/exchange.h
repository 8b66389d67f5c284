#pragma once

// One request's reply, between the handler's threads and the connection's.
//
// The handler's side (HttpReply) appends bytes and never waits. The connection's side takes them when its socket can
// write. Bytes appended during a write leave together in the next one.
//
// Phases: open -> streaming -> ended, or open -> ended (send), or any of the first two -> gone.
// Thread safety: all of it; one mutex, never held while a callback runs.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_server.h"

namespace polymath::server {

// Frees a text's memory, which assigning an empty text does not.
inline void release(std::string& text) noexcept { std::string().swap(text); }

// The connection, as a reply sees it.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  virtual void wake() noexcept = 0;  // any thread, never blocks: look at the exchange soon
};

struct ReplyTraits {
  bool http11 = true;
  bool head_only = false;  // HEAD: the headers of GET, no body
  bool close = false;      // close the connection after this reply
  // If true when the response begins, the connection closes too. Not read once the peer is gone.
  const std::atomic<bool>* closing = nullptr;
  size_t stream_buffer_bytes_max = 0;  // as in HttpLimits: beyond, Trouble::kOverrun
  HttpHeaders server_headers;          // CORS
};

class Exchange {
 public:
  Exchange(std::weak_ptr<ReplySink> sink, ReplyTraits traits) : sink_(std::move(sink)), traits_(std::move(traits)) {}

  // The handler's side. A call in a wrong phase does nothing.
  void send(int status, std::string_view content_type, std::string body, const HttpHeaders& extra);
  void start_stream(int status, std::string_view content_type, HttpHeaders extra);
  void write(std::string_view chunk);
  void end();
  void on_gone(std::function<void()> callback);
  // The handler dropped the reply. Unanswered, it becomes a 500 with the body of `error_body`; a stream is cut.
  void abandon(const ErrorBody& error_body, std::string_view path) noexcept;
  void close_connection();  // after this reply; REQUIRES: nothing was sent yet

  // The connection's side.
  enum class Trouble {
    kNone,
    kAbandoned,  // the handler dropped the stream before its end
    kOverrun,    // stream_buffer_bytes_max was passed
  };
  Trouble trouble() const;      // not kNone: the connection must be cut
  bool take(std::string& out);  // moves the pending bytes to `out`; true: the reply is complete. REQUIRES: out.empty()
  void written(size_t bytes);   // of the bytes taken
  void set_gone() noexcept;     // the peer has left, or was dropped
  // Writes an empty comment into a running stream of events, to see whether the peer is still there. False: none runs.
  bool nudge();

  bool gone() const;
  bool begun() const;   // a status is decided
  int status() const;   // 499: the peer left before a status was decided
  bool closes() const;  // the connection ends with this response

 private:
  enum class Phase { kOpen, kStreaming, kEnded, kGone };
  using Callbacks = std::vector<std::function<void()>>;

  void wake_locked() noexcept;
  void append_locked(std::string_view chunk) noexcept;  // an empty one: the end
  bool closes_locked() const;
  void trouble_locked(Trouble trouble) noexcept;

  const std::weak_ptr<ReplySink> sink_;
  mutable std::mutex mutex_;
  ReplyTraits traits_;
  Phase phase_ = Phase::kOpen;
  int status_ = 499;
  bool body_allowed_ = true;
  bool events_ = false;  // a stream of server-sent events; each write() ends a line
  Trouble trouble_ = Trouble::kNone;
  bool wake_posted_ = false;
  std::string pending_;
  size_t taken_bytes_ = 0;  // taken by the connection, not yet written
  Callbacks gone_callbacks_;
};

// The handler's side of an exchange. Its destructor calls abandon().
std::shared_ptr<HttpReply> make_reply(std::shared_ptr<Exchange> exchange, ErrorBody error_body, std::string path);

}  // namespace polymath::server
