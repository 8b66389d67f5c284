#pragma once

// Bytes -> HttpRequest, without a socket. Strict, with limits.
//
//   RequestParser parser(limits);
//   size_t consumed;
//   switch (parser.feed(bytes, consumed)) {...}   // then drop `consumed` bytes from the front
//
// One parser reads one request. Framing is never guessed: what could be read in two ways is refused
// (Content-Length with Transfer-Encoding, differing Content-Lengths, a second Host, a bad chunk size).
// Thread safety: none.
// Source: RFC 9110, RFC 9112; the grammar's automaton is Boost.Beast's, known to request_parser.cpp alone.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "server/http_server.h"

namespace polymath::server {

class RequestParser {
 public:
  enum class Step {
    kNeedMore,  // give the unconsumed bytes again, with more behind them
    kHead,      // said once: everything but the body is known; go on feeding, if only with nothing
    kComplete,  // request() is whole; later bytes belong to the next request
    kRefused,   // for good: answer refusal() and close
    kCount
  };
  struct Refusal {
    int status = 0;
    std::string_view message;  // a literal
  };

  explicit RequestParser(const HttpLimits& limits);
  ~RequestParser();

  Step feed(std::string_view bytes, size_t& consumed);

  bool started() const;   // a byte of the request was seen
  bool has_head() const;  // kHead was returned
  // As HttpRequest::path, from the request line alone, so that a refusal knows it; empty: not read, or malformed.
  std::string path() const;

  // REQUIRES: has_head().
  HttpRequest& request();
  bool http11() const;
  bool keep_alive() const;        // never for HTTP/1.0
  bool expects_continue() const;  // "Expect: 100-continue", and a body follows
  Refusal refusal() const;        // after kRefused

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polymath::server
