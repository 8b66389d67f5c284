#include "commands/http/response.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace polymath::commands::http {
namespace {

absl::Status invalid(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("no HTTP response: ", std::string(what)));
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  const size_t end = text.find_last_not_of(" \t") + 1;
  return text.substr(begin, std::max(begin, end) - begin);
}

std::string lower(std::string_view text) { return absl::AsciiStrToLower(std::string(text)); }

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string_view ResponseHead::header(std::string_view name) const {
  for (const auto& [own, value] : headers) {
    if (own == name) return value;
  }
  return {};
}

void ResponseParser::restart() {
  state_ = State::kStatusLine;
  head_ = {};
  line_.clear();
  head_bytes_ = 0;
  left_ = 0;
  body_bytes_ = 0;
  content_length_.reset();
  chunked_ = false;
}

absl::StatusOr<size_t> ResponseParser::feed(std::string_view bytes, std::string& body) {
  size_t at = 0;
  while (at < bytes.size() && !complete()) {
    if (state_ == State::kBody || state_ == State::kChunk || state_ == State::kUntilClose) {
      ASSIGN_OR_RETURN(const size_t n, take_body(bytes.substr(at), body));
      at += n;
      continue;
    }
    const bool whole = take_line(bytes, at);
    if (line_.size() + head_bytes_ > limits_.head_bytes_max) {
      return absl::ResourceExhaustedError(absl::StrCat("a head of more than ", limits_.head_bytes_max, " bytes"));
    }
    if (!whole) break;
    const size_t line_bytes = line_.size() + 1;
    if (line_.ends_with('\r')) line_.pop_back();
    RETURN_IF_ERROR(on_line());
    // Only heads and trailers add up: a stream may have any number of chunks.
    const bool adds = state_ == State::kHeaders || state_ == State::kTrailers;
    head_bytes_ = adds ? head_bytes_ + line_bytes : 0;
    line_.clear();
  }
  return at;
}

// Moves bytes up to a line's end to line_; whether the line is whole.
bool ResponseParser::take_line(std::string_view bytes, size_t& at) {
  const size_t end = bytes.find('\n', at);
  // No more than the limit is copied; one byte beyond it shows that it was passed.
  const size_t n = std::min(std::min(end, bytes.size()) - at, limits_.head_bytes_max + 1);
  line_.append(bytes.substr(at, n));
  at = end == std::string_view::npos ? bytes.size() : end + 1;
  return end != std::string_view::npos;
}

absl::StatusOr<size_t> ResponseParser::take_body(std::string_view bytes, std::string& body) {
  size_t n = bytes.size();
  if (state_ != State::kUntilClose) n = static_cast<size_t>(std::min<uint64_t>(n, left_));
  body_bytes_ += n;
  if (body_bytes_ > limits_.body_bytes_max) {
    return absl::ResourceExhaustedError(absl::StrCat("a body of more than ", limits_.body_bytes_max, " bytes"));
  }
  body.append(bytes.substr(0, n));
  if (state_ == State::kUntilClose) return n;
  left_ -= n;
  if (left_ == 0) state_ = state_ == State::kBody ? State::kComplete : State::kChunkEnd;
  return n;
}

absl::Status ResponseParser::on_line() {
  switch (state_) {
    case State::kStatusLine:
      return on_status_line();
    case State::kHeaders:
      return line_.empty() ? on_head_end() : on_header();
    case State::kChunkSize:
      return on_chunk_size();
    case State::kChunkEnd:
      if (!line_.empty()) return invalid("a chunk is longer than its size");
      state_ = State::kChunkSize;
      return absl::OkStatus();
    case State::kTrailers:
      if (line_.empty()) state_ = State::kComplete;
      return absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

// "HTTP/1.1 200 OK"; the words behind the number may be missing.
absl::Status ResponseParser::on_status_line() {
  const std::string_view line = line_;
  const std::string_view code = line.size() >= 12 ? line.substr(9, 3) : "";
  const bool shaped = line.starts_with("HTTP/1.") && line.size() >= 12 && (line[7] == '0' || line[7] == '1') &&
                      line[8] == ' ' && (line.size() == 12 || line[12] == ' ');
  if (!shaped || !all_digits(code) || code[0] == '0') return invalid("its first line is no status line");
  head_.status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
  head_.keep_alive = line[7] == '1';
  state_ = State::kHeaders;
  return absl::OkStatus();
}

absl::Status ResponseParser::set_content_length(std::string_view value) {
  uint64_t length = 0;
  if (!all_digits(value) || !absl::SimpleAtoi(std::string(value), &length)) return invalid("its Content-Length");
  if (content_length_.has_value() && *content_length_ != length) return invalid("two values of Content-Length");
  content_length_ = length;
  return absl::OkStatus();
}

absl::Status ResponseParser::on_header() {
  const std::string_view line = line_;
  const size_t colon = line.find(':');
  const bool named = colon != std::string_view::npos && colon > 0 && line.find_first_of(" \t") > colon;
  if (!named) return invalid("a header without a name");
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (limits_.keep_headers) head_.headers.emplace_back(name, value);
  if (name == "content-length") return set_content_length(value);
  if (name == "transfer-encoding") {
    if (chunked_ || lower(value) != "chunked") return invalid("its Transfer-Encoding is not chunked");
    chunked_ = true;
  } else if (name == "connection") {
    for (const auto word : absl::StrSplit(lower(value), ',')) {
      const auto token = absl::StripAsciiWhitespace(word);
      if (token == "close") head_.keep_alive = false;
      if (token == "keep-alive") head_.keep_alive = true;
    }
  } else if (name == "content-type") {
    head_.media_type = lower(trimmed(value.substr(0, value.find(';'))));
  }
  return absl::OkStatus();
}

absl::Status ResponseParser::on_head_end() {
  if (head_.status == 101) return invalid("it switches protocols");
  if (head_.status < 200) {  // "100 Continue": the real one follows
    restart();
    return absl::OkStatus();
  }
  if (head_.status == 204 || head_.status == 304) {
    state_ = State::kComplete;
    return absl::OkStatus();
  }
  if (chunked_) {
    // Both framings at once may be an attack on a proxy (RFC 9112, 6.3): nothing else is read from there.
    if (content_length_.has_value()) head_.keep_alive = false;
    state_ = State::kChunkSize;
    return absl::OkStatus();
  }
  if (content_length_.has_value()) {
    left_ = *content_length_;
    state_ = left_ == 0 ? State::kComplete : State::kBody;
    return absl::OkStatus();
  }
  head_.keep_alive = false;
  state_ = State::kUntilClose;
  return absl::OkStatus();
}

absl::Status ResponseParser::on_chunk_size() {
  constexpr size_t kDigitsMax = 15;  // of a chunk's size; more: kInvalidArgument
  const std::string_view digits = trimmed(std::string_view(line_).substr(0, line_.find(';')));
  if (digits.empty() || digits.size() > kDigitsMax) return invalid("the size of a chunk");
  uint64_t size = 0;
  for (const char c : digits) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return invalid("the size of a chunk");
    const int digit = absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : (c | 0x20) - 'a' + 10;
    size = size * 16 + static_cast<uint64_t>(digit);
  }
  left_ = size;
  state_ = size == 0 ? State::kTrailers : State::kChunk;
  return absl::OkStatus();
}

absl::Status ResponseParser::end_of_stream() {
  if (state_ == State::kUntilClose) state_ = State::kComplete;
  if (complete()) return absl::OkStatus();
  return absl::UnavailableError(head_.status == 0 ? "the server closed the connection without a response"
                                                  : "the server closed the connection in the midst of a response");
}

}  // namespace polymath::commands::http
