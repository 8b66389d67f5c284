#include "commands/pull/hub.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/printable.h"

namespace polymath::commands {
namespace {

constexpr size_t kPagesMax = 200;       // of a listing; more: kResourceExhausted
constexpr double kRetryAfterMax = 300;  // seconds; a hub that asks for more is asked again then
constexpr double kFirstPause = 0.5, kLongestPause = 15;
constexpr size_t kMessageBytes = 300;          // of a hub's own sentence that are shown
constexpr uint64_t kErrorBytesMax = 64 << 10;  // of a redirect's or a refusal's body; more: kResourceExhausted
constexpr int kTooManyRequests = 429, kRequestTimeout = 408;

bool may_pass(int status) { return status == kTooManyRequests || status == kRequestTimeout || status >= 500; }

}  // namespace

absl::StatusOr<http::Url> Hub::url_of(std::string_view path) const {
  http::Url url = settings_.endpoint;
  while (url.path.ends_with('/')) url.path.pop_back();
  absl::StrAppend(&url.path, std::string(path));
  return http::parse_url(absl::StrCat(url.tls ? "https://" : "http://", url.authority(), url.path));
}

http::GetOptions Hub::get_options(uint64_t bytes_max) const {
  http::GetOptions options{.timeout_s = settings_.timeout_s, .body_bytes_max = bytes_max};
  if (!settings_.token.empty()) options.secrets.push_back(absl::StrCat("Authorization: Bearer ", settings_.token));
  return options;
}

// Why the answer is neither 200 nor 206.
absl::Status Hub::refusal(const http::Get& answer) const {
  const int status = answer.head().status;
  const std::string_view code = answer.head().header("x-error-code");
  const std::string page =
      absl::StrCat(settings_.endpoint.text(), settings_.endpoint.path.ends_with('/') ? "" : "/", repository_);
  const std::string token =
      settings_.token.empty() ? "set HF_TOKEN to a token that may read it" : "the token that is set may not read it";
  if (code == "GatedRepo") {
    return absl::PermissionDeniedError(
        absl::StrCat(repository_, " is gated: accept its terms at ", page, ", then: ", token));
  }
  if (code == "RevisionNotFound") return absl::NotFoundError(absl::StrCat(page, " has no such revision"));
  if (code == "EntryNotFound") return absl::NotFoundError(absl::StrCat(answer.url().text(), " does not exist"));
  if (code == "RepoNotFound" || status == 401 || status == 404) {
    return absl::NotFoundError(absl::StrCat("there is no repository ", page, ", or it is private: ", token));
  }
  const std::string said = base::printable(answer.head().header("x-error-message").substr(0, kMessageBytes));
  const std::string sentence =
      absl::StrCat(answer.url().text(), " answered ", status, said.empty() ? "" : absl::StrCat(": ", said));
  // A signed URL of another host may have expired: the hub signs a new one.
  const bool elsewhere = !answer.url().same_origin(settings_.endpoint);
  if (may_pass(status) || (status == 403 && elsewhere)) return absl::UnavailableError(sentence);
  if (status == 403) return absl::PermissionDeniedError(absl::StrCat(sentence, "; ", token));
  return absl::FailedPreconditionError(sentence);
}

bool Hub::try_again(const absl::Status& failure, int attempt, double retry_s) const {
  const bool passes = absl::IsUnavailable(failure) || absl::IsDeadlineExceeded(failure);
  if (!passes || attempt >= settings_.attempts_max) return false;
  const double own = std::min(kFirstPause * std::exp2(attempt - 1), kLongestPause);
  const double pause = retry_s > 0 ? std::min(retry_s, kRetryAfterMax) : own;
  base::log_warning("pull", failure.message(), "; again in ", pause, " s");
  return pause_(pause);
}

absl::StatusOr<std::unique_ptr<http::Get>> Hub::ask(const http::Url& url, const http::GetOptions& options,
                                                    double& retry_s) const {
  retry_s = 0;
  ASSIGN_OR_RETURN(auto answer, http::Get::open(url, options));
  const int status = answer->head().status;
  if (status == 200 || status == 206) return answer;
  if (!absl::SimpleAtod(std::string(answer->head().header("retry-after")), &retry_s) || !(retry_s > 0)) retry_s = 0;
  return refusal(*answer);
}

absl::StatusOr<Hub::Page> Hub::page_once(const http::Url& url, double& retry_s) const {
  ASSIGN_OR_RETURN(const auto answer, ask(url, get_options(kListingBytesMax), retry_s));
  Page page{.next = next_page(answer->head().header("link")), .url = answer->url()};
  std::string piece;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, answer->read(piece));
    if (!more) return page;
    page.body += piece;
  }
}

absl::StatusOr<Hub::Page> Hub::page(const http::Url& url) const {
  for (int attempt = 1;; ++attempt) {
    double retry_s = 0;
    auto page = page_once(url, retry_s);
    if (page.ok() || !try_again(page.status(), attempt, retry_s)) return page;
  }
}

absl::StatusOr<std::string> Hub::commit(const std::string& revision) const {
  ASSIGN_OR_RETURN(const http::Url url, url_of(absl::StrCat("/api/models/", repository_, "/revision/", revision)));
  ASSIGN_OR_RETURN(const Page answer, page(url));
  return parse_commit(answer.body);
}

absl::StatusOr<std::vector<HubFile>> Hub::files(const std::string& commit) const {
  std::vector<HubFile> files;
  ASSIGN_OR_RETURN(http::Url url, url_of(absl::StrCat("/api/models/", repository_, "/tree/", commit, "?recursive=1")));
  for (size_t n = 0; n < kPagesMax; ++n) {
    ASSIGN_OR_RETURN(const Page answer, page(url));
    RETURN_IF_ERROR(add_listing_page(answer.body, files));
    if (answer.next.empty()) {
      RETURN_IF_ERROR(finish_listing(files));
      return files;
    }
    ASSIGN_OR_RETURN(http::Url next, http::follow(answer.url, answer.next));
    // The token goes with every page: none may name another host.
    if (!next.same_origin(settings_.endpoint)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the listing goes on at another host, ", next.text(), ": refused"));
    }
    url = std::move(next);
  }
  return absl::ResourceExhaustedError(absl::StrCat("the listing has more than ", kPagesMax, " pages"));
}

absl::StatusOr<std::unique_ptr<http::Get>> Hub::open(const std::string& commit, const HubFile& file, uint64_t offset,
                                                     double& retry_s) const {
  ASSIGN_OR_RETURN(const http::Url url,
                   url_of(absl::StrCat("/", repository_, "/resolve/", commit, "/", http::encoded(file.path, "/"))));
  http::GetOptions options = get_options(file.size + kErrorBytesMax);
  if (offset > 0) options.headers.push_back(absl::StrCat("Range: bytes=", offset, "-"));
  return ask(url, options, retry_s);
}

}  // namespace polymath::commands
