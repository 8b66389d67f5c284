#include "engine/options.h"

#include "absl/strings/str_cat.h"
#include "engine/policy.h"
#include "engine/proposers/proposer.h"

namespace polymath::engine {
namespace {

// "fcfs, priority": the names of a list.
template <typename List>
std::string names_of(const List& list) {
  std::string names;
  for (const auto& entry : list) names.append(names.empty() ? "" : ", ").append(entry.name);
  return names;
}

absl::Status check_speculation(const SpeculationOptions& options, const model::Model& model) {
  const ProposerKind* const kind = find_proposer(options.method);
  if (kind == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("speculation method \"", options.method, "\" is none of: ", names_of(proposers())));
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

absl::Status check_options(const EngineOptions& options, const model::Model& model) {
  if (find_policy(options.policy) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("scheduling policy \"", options.policy, "\" is none of: ", names_of(policies())));
  }
  if (options.speculation.method.empty()) return absl::OkStatus();
  return check_speculation(options.speculation, model);
}

}  // namespace polymath::engine
