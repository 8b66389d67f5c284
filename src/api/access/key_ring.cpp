#include "api/access/key_ring.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace polymath::api {
namespace {

constexpr double kRefreshSeconds = 1;
constexpr size_t kCountedNamesMax = 4096;  // further names of a changing file are counted together, as "other"

absl::StatusOr<std::vector<NamedSecret>> read_secrets(base::WatchedFile& file) {
  ASSIGN_OR_RETURN(const std::string text, file.read(kKeyFileBytesMax));
  auto secrets = parse_key_file(text);
  if (secrets.ok()) return secrets;
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": ", secrets.status().message()));
}

}  // namespace

absl::Status check_key_file(const std::string& path) {
  base::WatchedFile file(path);
  return read_secrets(file).status();
}

KeyRing::KeyRing(const std::vector<std::string>& secrets, const std::string& file, base::MetricsRegistry& metrics)
    : metrics_(metrics), is_required_(!secrets.empty() || !file.empty()), file_(file) {
  for (size_t i = 0; i < secrets.size(); ++i) fixed_.push_back(make_key(absl::StrCat("key", i + 1), secrets[i]));
  keys_ = std::make_shared<const ApiKeys>(fixed_);
  if (file.empty()) return;
  const absl::Status status = read_file();
  if (!status.ok()) base::log_error("api", "no key of the key file is valid: ", status.message());
  refreshing_ = std::make_unique<base::Periodic>(kRefreshSeconds, [this] { refresh(); });
}

ApiKeys::Key KeyRing::make_key(std::string name, const std::string& secret) {
  const std::string label = names_++ < kCountedNamesMax ? name : "other";
  base::Counter& requests =
      metrics_.counter("polymath:requests_total", "Requests by the name of their API key.", {{"key", label}});
  return {std::move(name), digest_of_key(secret), &requests};
}

absl::Status KeyRing::read_file() {
  ASSIGN_OR_RETURN(const auto secrets, read_secrets(file_));
  std::vector<ApiKeys::Key> keys = fixed_;
  for (const NamedSecret& secret : secrets) keys.push_back(make_key(secret.name, secret.secret));
  auto made = std::make_shared<const ApiKeys>(std::move(keys));
  const std::lock_guard lock(mutex_);
  keys_.swap(made);
  return absl::OkStatus();
}

void KeyRing::refresh() {
  try {
    if (!file_.changed()) return;
    const absl::Status status = read_file();
    if (status.ok()) {
      base::log_info("api", "read the keys of ", file_.path(), " again");
    } else {
      base::log_error("api", "the keys stay as they were: ", status.message());
    }
  } catch (const std::exception& e) {
    base::log_error("api", "the keys stay as they were: ", e.what());
  }
}

std::shared_ptr<const ApiKeys> KeyRing::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

}  // namespace polymath::api
