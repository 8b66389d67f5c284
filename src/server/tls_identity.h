#pragma once

// The certificate and key of a server: read at start, read again when their files change, watched for expiry.
//
// Thread safety: refresh() on one thread at a time.

#include <functional>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/status.h"
#include "base/watched_file.h"

namespace boost::asio::ssl {
class context;
}

namespace polymath::server {

class TlsIdentity {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;

  TlsIdentity(const std::string& certificate_file, const std::string& key_file)
      : certificate_(certificate_file), key_(key_file) {}

  // kInvalidArgument names the bad file. Warns of an expiry within 30 days.
  absl::StatusOr<Context> open();
  // Reads the files if one has changed. Null: neither has, or the new pair is bad, which is logged: the old one stays.
  Context refresh();
  // Warns again, at most once a day. `expiry`: seconds since 1970 of the certificate's end; may be null.
  void check_expiry(base::Gauge* expiry);

 private:
  absl::StatusOr<Context> read();

  base::WatchedFile certificate_, key_;
  double expires_at_ = 0;    // seconds since 1970
  double warned_at_ = -1e9;  // steady seconds
};

}  // namespace polymath::server
