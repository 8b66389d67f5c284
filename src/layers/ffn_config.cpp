#include "layers/ffn_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "layers/config_check.h"

namespace polymath::layers {

absl::Status FfnConfig::check() const {
  RETURN_IF_ERROR(check_range("the number of experts", router.n_experts, 1, routing::kExpertsMax));
  RETURN_IF_ERROR(
      check_range("the experts of a token", router.top_k, 1, std::min<int>(router.n_experts, routing::kTopKMax)));
  RETURN_IF_ERROR(check_range("a feed-forward's width", intermediate, 1, kWidthMax));
  RETURN_IF_ERROR(check_range("the slots of an expert", slots, routing == "soft_moe" ? 1 : 0, 4096));
  RETURN_IF_ERROR(check_range("the number of expert groups", router.n_groups, 1, router.n_experts));
  RETURN_IF_ERROR(check_range("the groups of a token", router.top_groups, 1, router.n_groups));
  if (router.n_experts % router.n_groups != 0)
    return absl::InvalidArgumentError("config.json: the experts do not divide by the groups");
  if (router.top_k > router.n_experts / router.n_groups * router.top_groups) {
    return absl::InvalidArgumentError("config.json: a token's groups hold fewer experts than it has to choose");
  }
  return absl::OkStatus();
}

void FfnConfig::add_slots(SlotList& s, int64_t hidden) const {
  const std::string layer_prefix = s.prefix;
  s.prefix += role + ".";
  const int64_t experts = router.n_experts;
  if (!routing.empty() && routing != "hash") {
    s.matrix({.name = "router", .pieces = {{router_width()}}, .cols = hidden, .use = quant::WeightUse::kRouter});
    if (router_linear_bias) s.vector("router_bias", {{experts}});
    if (selection_bias) s.vector("selection_bias", {{experts}});
  }
  constexpr auto kUse = quant::WeightUse::kExperts;
  const size_t first = s.list.size();
  const parallel::Shard split{1};
  const std::vector<Piece> gate_up = {{intermediate, split}, {intermediate, split}};
  s.matrix({.name = "gate_up", .pieces = gate_up, .cols = hidden, .groups = experts, .glu = true, .use = kUse});
  if (expert_bias) s.vector("gate_up_bias", gate_up, experts);
  s.matrix({.name = "down",
            .pieces = {{hidden}},
            .cols = intermediate,
            .cols_shard = split,
            .groups = experts,
            .use = kUse});
  if (expert_bias) s.vector("down_bias", {{hidden}}, experts);
  for (size_t i = first; i < s.list.size(); ++i) s.list[i].experts = experts > 1;
  s.prefix = layer_prefix;
}

absl::Status FfnConfig::split(parallel::Rank rank) {
  if (rank.whole_experts && router.n_experts > 1) {
    if (slots > 0)
      return absl::UnimplementedError("--enable-expert-parallel: soft_moe has no experts of single tokens");
    const int64_t n_slots = int64_t{router.n_experts} + rank.redundant_experts;
    const bool redundant = rank.redundant_experts > 0;
    RETURN_IF_ERROR(check_split(redundant ? "experts, with redundant ones," : "experts", n_slots, rank.size));
    if (n_slots / rank.size > router.n_experts) {
      return absl::InvalidArgumentError(absl::StrCat("--num-redundant-experts ", rank.redundant_experts,
                                                     ": a layer has ", router.n_experts, " experts, and each of ",
                                                     rank.size, " ranks would have more"));
    }
    local = parallel::slice_of(n_slots, {1}, rank);
    if (rank.moves_experts) copies_max = std::min(rank.size, 1 + rank.redundant_experts);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(check_split("intermediate features of a feed-forward", intermediate, rank.size));
  intermediate /= rank.size;
  return absl::OkStatus();
}

void FfnConfig::reserve(StepNeeds& needs) const {
  backend::StepLimits& l = needs.limits;
  l.intermediate_max = std::max<int64_t>(l.intermediate_max, intermediate);
  l.pairs_max = std::max(l.pairs_max, std::max(static_cast<int64_t>(l.tokens_max) * router.top_k, router_width()));
}

}  // namespace polymath::layers
