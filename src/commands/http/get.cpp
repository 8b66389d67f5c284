#include "commands/http/get.h"

#include "absl/strings/str_cat.h"
#include "base/printable.h"

namespace polymath::commands::http {
namespace {

constexpr size_t kReadBytes = 256 << 10;

bool redirects(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

absl::StatusOr<Url> next_url(const Url& from, const ResponseHead& head) {
  const std::string_view location = head.header("location");
  auto next = follow(from, location);
  if (!next.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(from.text(), " redirects to ", next.status().message()));
  }
  if (from.tls && !next->tls) {
    return absl::FailedPreconditionError(
        absl::StrCat(from.text(), " redirects to ", next->text(), ", which is not encrypted: refused"));
  }
  return next;
}

}  // namespace

Get::Get(Url url, const GetOptions& options)
    : url_(std::move(url)),
      parser_({.body_bytes_max = options.body_bytes_max, .keep_headers = true}),
      buffer_(kReadBytes) {}

absl::StatusOr<std::unique_ptr<Get>> Get::open(const Url& url, const GetOptions& options) {
  Url at = url;
  for (int hops = 0; hops <= options.redirects_max; ++hops) {
    std::unique_ptr<Get> get(new Get(at, options));
    RETURN_IF_ERROR(get->ask(options, at.same_origin(url)));
    if (!redirects(get->head().status) || get->head().header("location").empty()) return get;
    ASSIGN_OR_RETURN(at, next_url(at, get->head()));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(url.text(), " redirects more than ", options.redirects_max, " times"));
}

absl::Status Get::ask(const GetOptions& options, bool with_secrets) {
  ASSIGN_OR_RETURN(stream_, Stream::connect(url_, options.timeout_s));
  std::string request = absl::StrCat("GET ", url_.path, " HTTP/1.1\r\nHost: ", url_.authority(),
                                     "\r\nUser-Agent: polymath\r\nAccept: */*\r\nConnection: close\r\n");
  for (const std::string& header : options.headers) absl::StrAppend(&request, header, "\r\n");
  if (with_secrets) {
    for (const std::string& header : options.secrets) absl::StrAppend(&request, header, "\r\n");
  }
  request += "\r\n";
  RETURN_IF_ERROR(stream_->write(request));
  while (!parser_.has_head()) RETURN_IF_ERROR(feed(early_));
  return absl::OkStatus();
}

absl::Status Get::feed(std::string& body) {
  ASSIGN_OR_RETURN(const size_t n, stream_->read(buffer_.data(), buffer_.size()));
  if (n == 0) return parser_.end_of_stream();
  return parser_.feed({buffer_.data(), n}, body).status();
}

absl::StatusOr<bool> Get::read(std::string& piece) {
  piece.clear();
  piece.swap(early_);
  while (piece.empty() && !parser_.complete()) RETURN_IF_ERROR(feed(piece));
  return !piece.empty();
}

}  // namespace polymath::commands::http
