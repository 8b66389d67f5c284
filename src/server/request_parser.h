#pragma once

// Bytes -> HttpRequest, without a socket: the whole grammar, strict and bounded.
//
//   RequestParser parser(limits);
//   size_t consumed;
//   switch (parser.feed(bytes, consumed)) {...}   // then drop `consumed` bytes from the front
//
// One parser reads one request. Ambiguous framing is refused, never guessed: Content-Length with Transfer-Encoding,
// differing Content-Lengths, a second Host, a bad chunk size.
// Thread safety: none.
// Source: RFC 9110, RFC 9112. The automaton is Boost.Beast's; only request_parser.cpp includes it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http_server.h"

namespace polymath::server {

class RequestParser {
 public:
  enum class Step {
    kNeedMore,  // call again with the unconsumed bytes and more
    kHead,      // returned once, when all but the body is known; call again, even without new bytes
    kComplete,  // request() is complete; later bytes belong to the next request
    kRefused,   // final: answer refusal() and close
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
  // As HttpRequest::path, known from the request line on, for refusals. Empty: no valid request line was read.
  std::string path() const;

  // REQUIRES: has_head().
  HttpRequest& request();
  bool http11() const;
  bool keep_alive() const;                     // never for HTTP/1.0
  bool expects_continue() const;               // "Expect: 100-continue", and a body follows
  std::optional<uint64_t> body_bytes() const;  // of the body to come; nullopt: chunked
  Refusal refusal() const;                     // after kRefused

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polymath::server
