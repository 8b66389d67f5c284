#include "engine/options.h"

#include "absl/strings/str_cat.h"
#include "engine/policy.h"
#include "engine/proposers/proposer.h"

namespace polymath::engine {
namespace {

absl::Status check_speculation(const SpeculationOptions& options, const model::Model& model) {
  const ProposerKind* const kind = find_proposer(options.method);
  if (kind == nullptr) {
    std::string names;
    for (const ProposerKind& known : proposers()) names.append(names.empty() ? "" : ", ").append(known.name);
    return absl::InvalidArgumentError(absl::StrCat("speculation method `", options.method, "` is not one of ", names));
  }
  if (options.n_draft_max < 1 || options.n_draft_max > kDraftTokensMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_speculative_tokens must be in [1, ", kDraftTokensMax, "], and is ", options.n_draft_max));
  }
  if (model.has_state()) {
    return absl::InvalidArgumentError(
        "this model has recurrent layers, whose state cannot go back over rejected drafts: "
        "start it without --speculative-config");
  }
  return kind->check(options);
}

}  // namespace

base::Labels metric_labels(const std::string& model_name, const MetricsOptions& options) {
  if (options.vllm_063) return {{"model_name", model_name}};
  return {{"engine", absl::StrCat(options.engine)}, {"model_name", model_name}};
}

absl::Status check_options(const EngineOptions& options, const model::Model& model) {
  RETURN_IF_ERROR(check_policy(options.policy));
  if (options.speculation.method.empty()) return absl::OkStatus();
  return check_speculation(options.speculation, model);
}

}  // namespace polymath::engine
