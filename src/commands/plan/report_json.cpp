#include <cmath>

#include "commands/plan/report.h"

namespace polymath::commands {
namespace {

boost::json::string json_text(std::string_view text) { return boost::json::string(text.data(), text.size()); }

base::JsonObject model_json(const PlannedModel& model) {
  const plan::ModelFacts& facts = model.facts;
  return {{"name", json_text(model.title)},
          {"source", json_text(model.source)},
          {"architecture", json_text(model.config.architecture)},
          {"kept_in", json_text(model.stored)},
          {"layers", model.config.layers.size()},
          {"moe_layers", facts.moe_layers},
          {"context", model.config.positions_max},
          {"parameters", facts.parameters},
          {"active_parameters", facts.active_with_embedding},
          {"active_parameters_without_embedding", facts.active_with_embedding - facts.embedding},
          {"routed_parameters", facts.routed},
          {"kv_bytes_per_token", 2 * facts.kv_elements_per_token}};
}

base::JsonObject share_json(const plan::GroupPlan& plan, const plan::GpuShare& share) {
  base::JsonArray by_use;
  for (const auto& [key, bytes] : share.by_use) {
    by_use.push_back(
        base::JsonObject{{"use", json_text(key.first)}, {"format", json_text(key.second)}, {"bytes", bytes}});
  }
  return {{"weights", share.weights},
          {"weights_by_use", std::move(by_use)},
          {"activations_estimate", share.activations},
          {"context_estimate", share.context},
          {"peers_estimate", share.peers},
          {"margin_estimate", share.margin},
          {"kv_bytes_per_token", share.kv_token_bytes},
          {"state_bytes_per_sequence", share.state_bytes},
          {"left_for_kv_cache", plan.left(share)}};
}

base::JsonObject cost_json(const Cost& cost, const PlanSettings& settings) {
  return {{"instance", json_text(cost.instance->name)},
          {"instances", cost.n_instances},
          {"groups_of_instance", cost.groups_of_instance},
          {"dollars_an_hour", cost.dollars_an_hour},
          {"dollars_a_month", cost.dollars_a_month()},
          {"tokens_per_second", cost.tokens_per_second},
          {"dollars_a_million_tokens", cost.dollars_a_million()},
          {"dated", json_text(settings.prices.dated)},
          {"source", json_text(cost.instance->source)}};
}

base::JsonObject group_json(const GroupReport& group, const PlanSettings& settings) {
  const plan::GroupPlan& plan = group.plan;
  base::JsonArray stages, sequences, decode, notes;
  for (const plan::GpuShare& share : plan.stages) stages.push_back(share_json(plan, share));
  for (const auto& [length, n] : group.sequences) {
    sequences.push_back(base::JsonObject{{"tokens", length}, {"sequences", n}});
  }
  for (const auto& [batch, rate] : group.decode) {
    decode.push_back(base::JsonObject{{"sequences", batch}, {"tokens_per_second", rate}});
  }
  for (const std::string& warning : group.warnings) notes.push_back(json_text(warning));
  base::JsonObject out{{"gpu", json_text(plan.gpu->name)},
                       {"gpus", plan.layout.gpus()},
                       {"tensor_parallel", plan.layout.tensor},
                       {"pipeline_parallel", plan.layout.pipeline},
                       {"data_parallel", plan.layout.data},
                       {"expert_parallel", plan.layout.expert_parallel},
                       {"step_tokens", group.request.step.tokens_max},
                       {"usable_bytes", plan.usable},
                       {"bytes_of_each_gpu", std::move(stages)},
                       {"kv_tokens", group.kv_tokens},
                       {"sequences_at_once", std::move(sequences)},
                       {"decode_limits", std::move(decode)},
                       {"prefill_limit_tokens_per_second", group.prefill},
                       {"fits", group.fits},
                       {"notes", std::move(notes)},
                       {"serve", json_text(group.serve)}};
  if (group.cost) out["cost"] = cost_json(*group.cost, settings);
  return out;
}

}  // namespace

base::JsonObject report_json(const ModelReport& report, const PlanSettings& settings) {
  base::JsonArray groups, others;
  for (const GroupReport& group : report.groups) groups.push_back(group_json(group, settings));
  for (const std::string& gpu : report.do_not_hold) others.push_back(json_text(gpu));
  base::JsonObject out{
      {"model", model_json(*report.model)},
      {"wanted", base::JsonObject{{"sequences", report.wanted.sequences}, {"tokens", report.wanted.length}}},
      {"groups", std::move(groups)},
      {"do_not_hold", std::move(others)}};
  if (!report.this_machine.empty()) out["this_machine"] = json_text(report.this_machine);
  return out;
}

}  // namespace polymath::commands
