// polymath deploy MODEL [flags] [-- flags of serve]: Kubernetes manifests on stdout. deploy --check: faults of
// manifests.

#include "commands/deploy/deploy.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/read_file.h"
#include "commands/deploy/check/check.h"
#include "commands/deploy/manifests/manifests.h"
#include "commands/deploy/workload.h"
#include "commands/deploy/yaml/yaml.h"
#include "commands/doctor/exposition.h"
#include "commands/flags/flags.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

constexpr std::string_view kPlainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@";

// As a shell takes it.
std::string command_text(const Arguments& arguments) {
  std::string out = "polymath deploy";
  for (const std::string& word : arguments) {
    const bool plain = !word.empty() && word.find_first_not_of(kPlainCharacters) == std::string::npos;
    absl::StrAppend(&out, " ", plain ? word : absl::StrCat("'", word, "'"));
  }
  return out;
}

absl::StatusOr<CheckSettings> check_settings(const DeployOptions& options) {
  CheckSettings out{.load_seconds = options.load_seconds};
  if (options.metrics.empty()) return out;
  ASSIGN_OR_RETURN(const std::string text, base::read_file(options.metrics, Exposition::kBytesMax));
  ASSIGN_OR_RETURN(const Exposition metrics, Exposition::parse(text));
  for (const Sample& sample : metrics.samples()) out.metrics.insert(sample.name);
  return out;
}

absl::StatusOr<CheckReport> check_files(const DeployOptions& options) {
  ASSIGN_OR_RETURN(const CheckSettings settings, check_settings(options));
  std::vector<ManifestFile> files;
  for (const std::string& path : options.check) {
    ASSIGN_OR_RETURN(std::string text, base::read_file(path, kYamlBytesMax));
    files.push_back({path, std::move(text)});
  }
  return check_manifests(files, settings);
}

int check(const DeployOptions& options) {
  const auto report = check_files(options);
  if (!report.ok()) return fail(report.status());
  for (const std::string& complaint : report->complaints) std::printf("%s\n", complaint.c_str());
  std::printf("%zu objects, %zu faults\n", report->n_objects, report->complaints.size());
  if (report->n_unknown > 0)
    std::printf("%zu objects are of unknown kinds: their fields were not checked\n", report->n_unknown);
  return report->complaints.empty() ? 0 : 1;
}

absl::StatusOr<std::string> rendered(const Options& options, const Arguments& arguments, const Arguments& rest) {
  ASSIGN_OR_RETURN(const Workload workload, plan_workload(options, rest));
  return render(workload, options.deploy, command_text(arguments));
}

}  // namespace

absl::StatusOr<std::string> deploy_text(const Arguments& arguments) {
  const auto behind = std::find(arguments.begin(), arguments.end(), "--");
  ASSIGN_OR_RETURN(const Options options, parse_flags(kDeploy, Arguments(arguments.begin(), behind)));
  return rendered(options, arguments, Arguments(behind == arguments.end() ? behind : behind + 1, arguments.end()));
}

int deploy(const Arguments& arguments) {
  const auto behind = std::find(arguments.begin(), arguments.end(), "--");
  const auto options = parse_flags(kDeploy, Arguments(arguments.begin(), behind));
  if (!options.ok()) return fail_flags(options.status());
  if (!options->deploy.check.empty()) return check(options->deploy);
  const Arguments rest(behind == arguments.end() ? behind : behind + 1, arguments.end());
  const auto text = rendered(*options, arguments, rest);
  if (!text.ok()) return fail(text.status());
  std::fputs(text->c_str(), stdout);
  return 0;
}

}  // namespace polymath::commands
