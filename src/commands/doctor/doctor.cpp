// polymath doctor [URL | MODEL]: what is wrong with a server, this machine or a model's disk, and which flag helps.

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "commands/doctor/findings.h"
#include "commands/flags/flags.h"
#include "commands/http/fetch.h"
#include "commands/verbs.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

constexpr double kTimeoutSeconds = 10;  // of the whole answer; later: an error

absl::StatusOr<std::vector<Finding>> ask_server(const std::string& url) {
  ASSIGN_OR_RETURN(const http::Target target, http::parse_base_url(url));
  ASSIGN_OR_RETURN(const auto client, http::HttpClient::make(target, {.timeout_s = kTimeoutSeconds}));
  const auto answer = http::fetch(*client, target, "/metrics", Exposition::kBytesMax);
  const std::string where = absl::StrCat("http://", target.authority(), target.base_path, "/metrics");
  if (!answer.ok()) return absl::UnavailableError(absl::StrCat(where, ": ", answer.status().message()));
  if (answer->status != 200) return absl::UnavailableError(absl::StrCat(where, " answered ", answer->status));
  ASSIGN_OR_RETURN(const Exposition metrics, Exposition::parse(answer->body));
  return findings_of_server(metrics, static_cast<double>(std::time(nullptr)));
}

absl::StatusOr<std::vector<Finding>> look(const Options& options) {
  const std::string& name = options.model.name;
  if (name.starts_with("http://") || name.starts_with("https://")) return ask_server(name);
  std::vector<Finding> out = findings_of_machine();
  if (name.empty()) return out;
  ASSIGN_OR_RETURN(const std::string path, weights::resolve_model(name, options.model.revision));
  ASSIGN_OR_RETURN(const std::vector<Finding> disk, findings_of_disk(path));
  out.insert(out.end(), disk.begin(), disk.end());
  return out;
}

}  // namespace

int doctor(const Arguments& arguments) {
  const auto options = parse_flags(kDoctor, arguments);
  if (!options.ok()) return fail_flags(options.status());
  const auto findings = look(*options);
  if (!findings.ok()) return fail(findings.status());
  std::fputs(findings_text(*findings).c_str(), stdout);
  const bool problem = std::any_of(findings->begin(), findings->end(),
                                   [](const Finding& finding) { return finding.level == Level::kProblem; });
  return problem ? 1 : 0;
}

}  // namespace polymath::commands
