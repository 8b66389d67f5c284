#pragma once

// A byte stream to a server, over TCP or TLS. Every wait is bounded.
//
// TLS: 1.2 or later, the certificate and its host name are verified. Roots are SSL_CERT_FILE and SSL_CERT_DIR, else
// those of OpenSSL's own build, else the bundles of the usual distributions.
//
// Thread safety: none; connect() may run at once.

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "commands/http/url.h"

namespace polymath::commands::http {

class Stream {
 public:
  virtual ~Stream() = default;

  // All of it. kUnavailable: the peer closed. kDeadlineExceeded: it took nothing for the time-out.
  virtual absl::Status write(std::string_view bytes) = 0;
  // At least one byte into `out`, or 0: the peer closed. Errors as above. REQUIRES: size > 0.
  virtual absl::StatusOr<size_t> read(char* out, size_t size) = 0;

  // Tries every address of the host. kUnavailable: none answers. kDeadlineExceeded: not within `timeout_s`.
  // kPermissionDenied: the certificate is not trusted.
  static absl::StatusOr<std::unique_ptr<Stream>> connect(const Url& url, double timeout_s);
};

}  // namespace polymath::commands::http
