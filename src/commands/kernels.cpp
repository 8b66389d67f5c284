// polymath kernels [MODEL]: every op family's kernel variants, and which of them a model's steps would run.

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/threads.h"
#include "commands/bench/bench_kernels.h"
#include "commands/flags/flags.h"
#include "commands/op_calls.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

void print_families(const backend::Backend& backend) {
  std::printf("%s: variants of each op, best first\n", std::string(backend.name()).c_str());
  for (const backend::KernelInfo& family : backend.kernels()) {
    std::vector<std::string> names;
    for (const auto& v : family.variants) {
      names.push_back(absl::StrCat(std::string(v.name), v.on_machine ? "" : " (not on this machine)"));
    }
    std::printf("  %-24s %s\n", std::string(family.op).c_str(), absl::StrJoin(names, ", ").c_str());
  }
}

void print_step(const Runtime& runtime, const StepShape& step) {
  std::printf("\n%s, context %d: what runs (what else fits)\n", step_text(step).c_str(), step.context);
  for (const NamedCall& c : op_calls(runtime.config(), call_types(runtime), step)) {
    const auto fitting = runtime.backend().kernels_for(c.call);
    std::vector<std::string> names(fitting.begin(), fitting.end());
    const std::string runs = names.empty() ? "none" : names.front();
    if (!names.empty()) names.erase(names.begin());
    const std::string others = names.empty() ? "" : absl::StrCat(" (", absl::StrJoin(names, ", "), ")");
    std::printf("  %-24s %-44s %s%s\n", std::string(c.call.op).c_str(), c.what.c_str(), runs.c_str(), others.c_str());
  }
}

absl::Status list_families(const RuntimeOptions& options) {
  ASSIGN_OR_RETURN(const auto backend, make_backend(options, {.threads = options.threads}));
  print_families(*backend);
  return absl::OkStatus();
}

absl::Status list_of_model(const Options& options) {
  ASSIGN_OR_RETURN(const auto runtime, Runtime::look(options.model, options.runtime));
  print_families(runtime->backend());
  for (const StepShape& step : bench_steps(options.bench)) print_step(*runtime, step);
  return absl::OkStatus();
}

absl::Status run_kernels(const Options& options) {
  if (options.model.name.empty()) {
    if (options.kernels.measure) return absl::InvalidArgumentError("--measure needs a model's shapes: name a MODEL");
    return list_families(options.runtime);
  }
  RETURN_IF_ERROR(list_of_model(options));
  if (!options.kernels.measure) return absl::OkStatus();
  std::printf("\n");
  return bench_kernels(options);
}

}  // namespace

int kernels(const Arguments& arguments) {
  auto options = parse_flags(kKernels, arguments);
  if (!options.ok()) return fail_flags(options.status());
  if (options->bench.batch.empty()) options->bench.batch = {1, 32};
  const absl::Status status = run_kernels(*options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace polymath::commands
