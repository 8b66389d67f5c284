#pragma once

// The HTTP API of a Hugging Face hub, as far as a pull needs it. Failures that may pass are tried again.
//
// Thread safety: const methods may run at once.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/http/get.h"
#include "commands/pull/listing.h"

namespace polymath::commands {

struct HubSettings {
  http::Url endpoint;     // HF_ENDPOINT
  std::string token;      // HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the file that `hf auth login` writes; empty: none
  double timeout_s = 30;  // HF_HUB_DOWNLOAD_TIMEOUT
  int attempts_max = 6;   // in a row without progress; then the last failure is returned

  // Of the environment. kInvalidArgument names the variable. kFailedPrecondition: HF_HUB_OFFLINE is set.
  static absl::StatusOr<HubSettings> from_environment();
};

// Waits between attempts; false: the pull was stopped.
using Pause = std::function<bool(double seconds)>;

class Hub {
 public:
  Hub(HubSettings settings, std::string repository, Pause pause)
      : settings_(std::move(settings)), repository_(std::move(repository)), pause_(std::move(pause)) {}

  const HubSettings& settings() const { return settings_; }

  // Messages of all errors say what to do. kNotFound: no such repository, revision or file. kPermissionDenied: a token
  // is missing, or may not read it. kUnavailable, kDeadlineExceeded: after attempts_max. kInvalidArgument: the
  // hub's answer.
  absl::StatusOr<std::string> commit(const std::string& revision) const;
  absl::StatusOr<std::vector<HubFile>> files(const std::string& commit) const;

  // The answer for a file from byte `offset` on: 200 with the whole file, or 206. One attempt; errors as above.
  // `retry_s` gets the hub's Retry-After, in seconds; 0: it named none.
  absl::StatusOr<std::unique_ptr<http::Get>> open(const std::string& commit, const HubFile& file, uint64_t offset,
                                                  double& retry_s) const;

  // Whether a failure may pass. Waits before attempt number `attempt` (1, 2, ...) if so, and if there are any left.
  bool try_again(const absl::Status& failure, int attempt, double retry_s) const;

 private:
  struct Page {
    std::string body, next;  // next: of the Link header
    http::Url url;
  };
  absl::StatusOr<http::Url> url_of(std::string_view path) const;
  absl::StatusOr<std::unique_ptr<http::Get>> ask(const http::Url& url, const http::GetOptions& options,
                                                 double& retry_s) const;
  absl::StatusOr<Page> page(const http::Url& url) const;
  absl::StatusOr<Page> page_once(const http::Url& url, double& retry_s) const;
  absl::Status refusal(const http::Get& answer) const;
  http::GetOptions get_options(uint64_t bytes_max) const;

  const HubSettings settings_;
  const std::string repository_;
  const Pause pause_;
};

}  // namespace polymath::commands
