#include "server/request_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>

#include "server/target.h"

namespace polymath::server {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

// Room for the method, the version and two spaces in a request line, beside its target.
constexpr size_t kRequestLineSlack = 64;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Beast's parser; its callbacks fill an HttpRequest.
class Parser final : public http::basic_parser<true> {
 public:
  HttpRequest request;
  std::string target;
  bool http11 = false;

 private:
  void on_request_impl(http::verb, BeastView method, BeastView target_text, int version, error_code&) override {
    request.method.assign(method.data(), method.size());
    target.assign(target_text.data(), target_text.size());
    http11 = version == 11;
  }
  void on_response_impl(int, BeastView, int, error_code&) override {}
  void on_field_impl(http::field, BeastView name, BeastView value, error_code&) override {
    if (head_done_) return;  // trailers are ignored
    request.headers.emplace_back(lower({name.data(), name.size()}), std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
  size_t on_body_impl(BeastView bytes, error_code&) override {
    request.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(uint64_t, BeastView, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, BeastView bytes, error_code&) override {
    request.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  bool head_done_ = false;
};

RequestParser::Refusal refusal_of(const error_code& error) {
  if (error == http::error::body_limit) return {413, "the body is larger than this server accepts"};
  if (error == http::error::header_limit) return {431, "the headers are larger than this server accepts"};
  if (error == http::error::bad_method) return {400, "malformed method"};
  if (error == http::error::bad_target) return {400, "malformed request target"};
  if (error == http::error::bad_version) return {400, "malformed or unknown HTTP version"};
  if (error == http::error::bad_content_length) return {400, "bad Content-Length"};
  if (error == http::error::multiple_content_length) return {400, "differing Content-Length headers"};
  if (error == http::error::bad_transfer_encoding) return {400, "bad Transfer-Encoding"};
  if (error == http::error::bad_chunk) return {400, "bad chunk"};
  if (error == http::error::bad_chunk_extension) return {400, "bad chunk extension"};
  return {400, "malformed request"};
}

}  // namespace

struct RequestParser::State {
  explicit State(const HttpLimits& l) : limits(l) {
    // feed_head() holds the exact limit of the header. Beast counts each of its calls separately, so its limit is
    // larger.
    parser.header_limit(static_cast<uint32_t>(std::min<size_t>(l.header_bytes_max + (64u << 10), 1u << 30)));
    parser.body_limit(static_cast<uint64_t>(l.body_bytes_max));
  }

  const HttpLimits limits;
  Parser parser;
  size_t head_bytes = 0;
  bool has_head = false;
  bool expects_continue = false;
  std::optional<Refusal> refusal;

  Step refuse(Refusal why) {
    refusal = why;
    return Step::kRefused;
  }

  Step feed_head(std::string_view bytes, size_t& consumed);
  Step feed_body(std::string_view bytes, size_t& consumed);
  std::optional<Refusal> check_head();
  std::optional<Refusal> check_framing();
};

// Checks that Beast leaves to its caller.
std::optional<RequestParser::Refusal> RequestParser::State::check_framing() {
  int hosts = 0;
  int encodings = 0;
  for (const auto& [name, value] : parser.request.headers) {
    hosts += name == "host";
    if (name == "host" && !is_authority(value)) return Refusal{400, "malformed Host header"};
    if (name != "transfer-encoding") continue;
    if (!parser.http11 || ++encodings > 1) return Refusal{400, "bad Transfer-Encoding"};
    if (lower(value) != "chunked") return Refusal{501, "Transfer-Encoding other than chunked"};
  }
  if (hosts > 1 || (parser.http11 && hosts == 0)) return Refusal{400, "exactly one Host header is needed"};
  return std::nullopt;
}

std::optional<RequestParser::Refusal> RequestParser::State::check_head() {
  if (parser.target.size() > limits.target_bytes_max) return Refusal{414, "the request target is too long"};
  if (const auto bad = check_framing()) return bad;
  HttpRequest& request = parser.request;
  Target target;
  if (!split_target(parser.target, target)) return Refusal{400, "malformed request target"};
  request.path = std::move(target.path);
  request.query = std::move(target.query);
  for (const auto& [name, value] : request.headers) {
    if (name == "content-encoding" && !value.empty() && lower(value) != "identity") {
      return Refusal{415, "Content-Encoding other than identity"};
    }
    if (name == "expect" && parser.http11) {
      if (lower(value) != "100-continue") return Refusal{417, "Expect other than 100-continue"};
      expects_continue = !parser.is_done();
    }
  }
  return std::nullopt;
}

RequestParser::Step RequestParser::State::feed_head(std::string_view bytes, size_t& consumed) {
  // Some old clients send an empty line before a request (RFC 9112 section 2.2).
  while (!parser.got_some() && bytes.substr(consumed, 2) == "\r\n") {
    consumed += 2;
    head_bytes += 2;
  }
  std::string_view rest = bytes.substr(consumed);
  if (rest.empty() || rest == "\r") return Step::kNeedMore;
  if (parser.target.empty() && rest.size() > limits.target_bytes_max + kRequestLineSlack &&
      rest.find('\n') == std::string_view::npos) {
    return refuse({414, "the request line is too long"});
  }
  error_code error;
  while (!parser.is_header_done()) {
    const size_t taken = parser.put(boost::asio::const_buffer(rest.data(), rest.size()), error);
    consumed += taken;
    head_bytes += taken;
    rest.remove_prefix(taken);
    if (parser.target.size() > limits.target_bytes_max) return refuse({414, "the request target is too long"});
    const bool more = error == http::error::need_more;
    if (head_bytes + (more ? rest.size() : 0) > limits.header_bytes_max) {
      return refuse(refusal_of(http::error::header_limit));
    }
    if (more) return Step::kNeedMore;
    if (error) return refuse(refusal_of(error));
  }
  if (const auto bad = check_head()) return refuse(*bad);
  has_head = true;
  return Step::kHead;
}

// The last chunk is "0 CR LF CR LF". Beast asserts that it gets these bytes at once. The rest of a chunked body is
// never shorter, so waiting for them is safe.
constexpr size_t kLastChunkBytes = 5;

RequestParser::Step RequestParser::State::feed_body(std::string_view bytes, size_t& consumed) {
  error_code error;
  while (!parser.is_done()) {
    const std::string_view rest = bytes.substr(consumed);
    if (rest.empty()) return Step::kNeedMore;
    if (parser.chunked() && rest.size() < kLastChunkBytes) return Step::kNeedMore;
    consumed += parser.put(boost::asio::const_buffer(rest.data(), rest.size()), error);
    if (error == http::error::need_more) {
      // Beast buffers only a chunk's header and the trailers.
      if (bytes.size() - consumed > limits.header_bytes_max) return refuse({400, "chunk header or trailers too long"});
      return Step::kNeedMore;
    }
    if (error) return refuse(refusal_of(error));
  }
  return Step::kComplete;
}

RequestParser::RequestParser(const HttpLimits& limits) : state_(std::make_unique<State>(limits)) {}
RequestParser::~RequestParser() = default;

RequestParser::Step RequestParser::feed(std::string_view bytes, size_t& consumed) {
  consumed = 0;
  if (state_->refusal) return Step::kRefused;
  return state_->has_head ? state_->feed_body(bytes, consumed) : state_->feed_head(bytes, consumed);
}

bool RequestParser::started() const { return state_->parser.got_some(); }
bool RequestParser::has_head() const { return state_->has_head; }
std::string RequestParser::path() const {
  Target target;
  return split_target(state_->parser.target, target) ? target.path : std::string();
}
HttpRequest& RequestParser::request() { return state_->parser.request; }
bool RequestParser::http11() const { return state_->parser.http11; }
bool RequestParser::keep_alive() const { return http11() && state_->parser.keep_alive(); }
bool RequestParser::expects_continue() const { return state_->expects_continue; }
std::optional<uint64_t> RequestParser::body_bytes() const {
  if (state_->parser.chunked()) return std::nullopt;
  const auto bytes = state_->parser.content_length();
  return bytes ? *bytes : 0;
}
RequestParser::Refusal RequestParser::refusal() const { return state_->refusal.value_or(Refusal{}); }

}  // namespace polymath::server
