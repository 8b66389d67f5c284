#include "server/tls_identity.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/clock.h"
#include "base/log.h"
#include "server/transport.h"

namespace polymath::server {
namespace {

constexpr size_t kFileBytesMax = 1u << 20;  // longer: refused
constexpr double kDay = 86400;
constexpr double kWarningDays = 30;

}  // namespace

absl::StatusOr<TlsIdentity::Context> TlsIdentity::read() {
  ASSIGN_OR_RETURN(const std::string certificate, certificate_.read(kFileBytesMax));
  ASSIGN_OR_RETURN(const std::string key, key_.read(kFileBytesMax));
  ASSIGN_OR_RETURN(const TlsContext made, make_tls_context({certificate_.path(), certificate, key_.path(), key}));
  expires_at_ = made.expires_at;
  return made.context;
}

absl::StatusOr<TlsIdentity::Context> TlsIdentity::open() {
  auto context = read();
  if (!context.ok() && context.status().code() == absl::StatusCode::kNotFound) {
    return absl::InvalidArgumentError(context.status().message());
  }
  if (context.ok()) check_expiry(nullptr);
  return context;
}

TlsIdentity::Context TlsIdentity::refresh() {
  if (!certificate_.changed() && !key_.changed()) return nullptr;
  auto context = read();
  if (!context.ok()) {
    base::log_error("server", "the TLS certificate stays as it was: ", context.status().message());
    return nullptr;
  }
  base::log_info("server", "read the TLS certificate ", certificate_.path(), " again");
  warned_at_ = -1e9;
  return *std::move(context);
}

void TlsIdentity::check_expiry(base::Gauge* expiry) {
  if (expiry != nullptr) expiry->set(expires_at_);
  const double now = base::steady_seconds();
  const double days = (expires_at_ - static_cast<double>(std::time(nullptr))) / kDay;
  if (days > kWarningDays || now - warned_at_ < kDay) return;
  warned_at_ = now;
  if (days <= 0) {
    base::log_error("server", "the TLS certificate ", certificate_.path(), " has expired: clients refuse it");
  } else {
    base::log_warning("server", "the TLS certificate ", certificate_.path(), " expires in ",
                      static_cast<int>(std::floor(days)), " days");
  }
}

}  // namespace polymath::server
