#pragma once

// Reads HTTP/1.x responses from bytes cut anywhere: head, then a body by Content-Length, by chunks, or until the peer
// closes. Pure; it has no socket.
//
//   ASSIGN_OR_RETURN(size_t n, parser.feed(bytes, body));   // `body` gets the body's bytes of it
//   if (parser.complete()) ...                              // bytes from n on belong to the next response

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace polymath::commands::http {

struct ResponseLimits {
  size_t head_bytes_max = 64 << 10;     // of a head, of trailers, of a chunk's size line; more: kResourceExhausted
  uint64_t body_bytes_max = 256 << 20;  // more: kResourceExhausted
  bool keep_headers = false;            // in ResponseHead::headers
};

struct ResponseHead {
  int status = 0;          // 0: none was read
  std::string media_type;  // lower case, without parameters
  bool keep_alive = false;
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case name, value; in order

  // Its first value; empty: there is none.
  std::string_view header(std::string_view name) const;
};

class ResponseParser {
 public:
  explicit ResponseParser(const ResponseLimits& limits) : limits_(limits) {}

  // Takes bytes up to the response's end and returns how many it took. kInvalidArgument: no HTTP/1.x response.
  absl::StatusOr<size_t> feed(std::string_view bytes, std::string& body);

  // The peer closed. kUnavailable: in the midst of a response.
  absl::Status end_of_stream();

  bool complete() const { return state_ == State::kComplete; }
  bool has_head() const { return state_ > State::kHeaders; }  // whole; the body may follow
  const ResponseHead& head() const { return head_; }
  void restart();  // for the next response

 private:
  enum class State {
    kStatusLine,
    kHeaders,
    kBody,       // `left_` bytes
    kChunkSize,  // its line
    kChunk,      // `left_` bytes
    kChunkEnd,   // the line end behind a chunk
    kTrailers,
    kUntilClose,
    kComplete,
  };

  bool take_line(std::string_view bytes, size_t& at);
  absl::Status on_line();
  absl::Status on_status_line();
  absl::Status on_header();
  absl::Status set_content_length(std::string_view value);
  absl::Status on_head_end();
  absl::Status on_chunk_size();
  absl::StatusOr<size_t> take_body(std::string_view bytes, std::string& body);

  const ResponseLimits limits_;
  State state_ = State::kStatusLine;
  ResponseHead head_;
  std::string line_;       // the unfinished one
  size_t head_bytes_ = 0;  // of the head or the trailers so far
  uint64_t left_ = 0;
  uint64_t body_bytes_ = 0;
  std::optional<uint64_t> content_length_;
  bool chunked_ = false;
};

}  // namespace polymath::commands::http
