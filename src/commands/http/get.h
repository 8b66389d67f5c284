#pragma once

// One GET whose body is read piece by piece; redirects are followed.
//
//   ASSIGN_OR_RETURN(auto answer, Get::open(url, options));
//   if (answer->head().status == 200) while (...) ASSIGN_OR_RETURN(bool more, answer->read(piece));
//
// Secrets go to the first URL's origin alone: the same scheme, host and port. https never leads to http.
// Thread safety: none; open() may run at once.

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "commands/http/response.h"
#include "commands/http/stream.h"
#include "commands/http/url.h"

namespace polymath::commands::http {

struct GetOptions {
  std::vector<std::string> headers;  // "Name: value"; go everywhere
  std::vector<std::string> secrets;  // headers for the first origin alone
  double timeout_s = 30;             // of a connect, and of silence
  int redirects_max = 5;             // more: kFailedPrecondition
  uint64_t body_bytes_max = 0;       // more: kResourceExhausted
};

class Get {
 public:
  // Returns with the head, whatever its status is. Errors: Stream's and ResponseParser's; kFailedPrecondition: too many
  // redirects, or one that is refused.
  static absl::StatusOr<std::unique_ptr<Get>> open(const Url& url, const GetOptions& options);

  const ResponseHead& head() const { return parser_.head(); }
  const Url& url() const { return url_; }  // the one that answered
  // Puts what comes next of the body in `piece`, which it clears. False: the body is whole.
  absl::StatusOr<bool> read(std::string& piece);

 private:
  Get(Url url, const GetOptions& options);

  absl::Status ask(const GetOptions& options, bool with_secrets);
  absl::Status feed(std::string& body);

  const Url url_;
  std::unique_ptr<Stream> stream_;
  ResponseParser parser_;
  std::vector<char> buffer_;
  std::string early_;  // the body's bytes that came with the head
};

}  // namespace polymath::commands::http
