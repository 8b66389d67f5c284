#include "commands/speculation.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "commands/flags/json_keys.h"
#include "engine/proposers/proposer.h"

namespace polymath::commands {
namespace {

constexpr std::string_view kKeys[] = {"method", "num_speculative_tokens", "prompt_lookup_max", "prompt_lookup_min"};

absl::Status check_method(const std::string& method) {
  if (engine::find_proposer(method) != nullptr) return absl::OkStatus();
  std::string known;
  for (const engine::ProposerKind& kind : engine::proposers()) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(kind.name));
  }
  return absl::UnimplementedError(
      absl::StrCat("the method `", method.substr(0, 64), "` is not built yet; ", known, " is"));
}

}  // namespace

absl::StatusOr<std::string> parse_speculation_method(std::string_view value) {
  RETURN_IF_ERROR(check_method(std::string(value)));
  return std::string(value);
}

absl::StatusOr<engine::SpeculationOptions> parse_speculation(std::string_view value) {
  ASSIGN_OR_RETURN(const base::JsonValue json, base::parse_json(value, {.depth_max = 8, .bytes_max = 1 << 16}));
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  engine::SpeculationOptions options;
  options.method = j.s("method");
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_method(options.method));  // before the keys, which other methods also have
  RETURN_IF_ERROR(check_keys(json.get_object(), kKeys));
  options.n_draft_max = j.i("num_speculative_tokens");
  options.lookup_max = j.i("prompt_lookup_max", j.i("prompt_lookup_min", options.lookup_max));
  options.lookup_min = j.i("prompt_lookup_min", options.lookup_max);
  RETURN_IF_ERROR(j.status());
  if (options.n_draft_max < 1 || options.n_draft_max > engine::kDraftTokensMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_speculative_tokens must be between 1 and ", engine::kDraftTokensMax));
  }
  RETURN_IF_ERROR(engine::find_proposer(options.method)->check(options));
  return options;
}

}  // namespace polymath::commands
