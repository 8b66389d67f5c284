#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "commands/plan/report.h"
#include "commands/text_table.h"

namespace polymath::commands {
namespace {

constexpr double kGib = double{1 << 30};

std::string gib(int64_t bytes) { return fixed(static_cast<double>(bytes) / kGib, 2); }
std::string billions(int64_t n) { return fixed(static_cast<double>(n) / 1e9, 3); }

std::string attention_text(const model::ModelConfig& config) {
  std::vector<std::string> kinds;
  for (const model::LayerConfig& layer : config.layers) {
    const std::string text = layers::text(layer.attention);
    if (std::find(kinds.begin(), kinds.end(), text) == kinds.end()) kinds.push_back(text);
  }
  return absl::StrJoin(kinds, "; ");
}

std::string layout_text(const plan::Layout& layout) {
  std::string out = absl::StrCat("TP", layout.tensor);
  if (layout.expert_parallel) absl::StrAppend(&out, " x EP", layout.expert_ranks());
  if (layout.pipeline > 1) absl::StrAppend(&out, " x PP", layout.pipeline);
  if (layout.data > 1) absl::StrAppend(&out, " x DP", layout.data);
  return out;
}

std::string model_text(const ModelReport& report) {
  const PlannedModel& model = *report.model;
  const plan::ModelFacts& facts = model.facts;
  const model::ModelConfig& config = model.config;
  const int64_t kv = facts.kv_elements_per_token * 2;
  const double of_mha = facts.mha_elements_per_token > 0 ? 100.0 * static_cast<double>(facts.kv_elements_per_token) /
                                                               static_cast<double>(facts.mha_elements_per_token)
                                                         : 0;
  std::string out = absl::StrCat(model.title, " (", model.source, ")\n");
  out += wrapped(absl::StrCat("  ", config.architecture, ": ", config.layers.size(), " layers, hidden ",
                              with_commas(config.hidden), ", context ", with_commas(config.positions_max), "; ",
                              attention_text(config)));
  out += wrapped(absl::StrCat("  parameters: ", billions(facts.parameters), " billion; ",
                              billions(facts.active_with_embedding), " active a token, ",
                              billions(facts.active_with_embedding - facts.embedding), " without the input embedding"));
  out += wrapped(absl::StrCat("  in bf16: ", fixed(2 * static_cast<double>(facts.parameters) / 1e9, 1), " GB = ",
                              fixed(2 * static_cast<double>(facts.parameters) / kGib, 1), " GiB; routed experts ",
                              fixed(100 * static_cast<double>(facts.routed) / static_cast<double>(facts.parameters), 1),
                              " %", model.stored.empty() ? "" : "; kept in " + model.stored));
  out += wrapped(absl::StrCat("  KV cache: ", with_commas(kv), " bytes a token in bf16, ", fixed(of_mha, 2),
                              " % of multi-head attention's"));
  return out;
}

std::string memory_table(const GroupReport& group) {
  const plan::GpuShare& share = group.plan.share();
  TextTable table({"GiB of each GPU", ""});
  table.add({"weights", gib(share.weights)});
  for (const auto& [key, bytes] : share.by_use) {
    table.add({absl::StrCat("  ", key.first, ", ", key.second), gib(bytes)});
  }
  table.add({absl::StrCat("activations of ", with_commas(group.request.step.tokens_max), " tokens (estimate)"),
             gib(share.activations)});
  table.add({"CUDA context and libraries (estimate)", gib(share.context)});
  if (share.peers > 0) table.add({"buffers between GPUs (estimate)", gib(share.peers)});
  table.add({"margin: CUDA graphs, rounding (estimate)", gib(share.margin)});
  table.add({"left for KV cache", gib(std::max<int64_t>(0, group.plan.left(share)))});
  table.add(
      {absl::StrCat("usable: ", fixed(100 * group.request.memory_share, 0), " % of ", gib(group.plan.gpu->memory())),
       gib(group.plan.usable)});
  return table.text();
}

std::string cost_text(const Cost& cost, const PlanSettings& settings) {
  const PlanOptions& options = settings.options.plan;
  const std::string instances = cost.n_instances > 1 ? absl::StrCat(cost.n_instances, " x ") : "";
  const std::string groups =
      cost.groups_of_instance > 1 ? absl::StrCat(cost.groups_of_instance, " groups on it; ") : "";
  const std::string speed = options.tokens_per_second > 0 ? "as given"
                                                          : absl::StrCat(fixed(100 * options.limit_share, 0),
                                                                         " % of the limit with 64 sequences");
  return wrapped(absl::StrCat("price: ", instances, cost.instance->name, " $", fixed(cost.dollars_an_hour, 2),
                              " an hour, $", with_commas(std::lround(cost.dollars_a_month())), " a month; ", groups,
                              "$", fixed(cost.dollars_a_million(), 3), " a million output tokens at ",
                              with_commas(std::lround(cost.tokens_per_second)), " tok/s (", speed, "); prices of ",
                              settings.prices.dated, ", ", settings.prices.region, "; ", cost.instance->source));
}

std::string group_text(const GroupReport& group, const ModelReport& report, const PlanSettings& settings) {
  const plan::GroupPlan& plan = group.plan;
  std::string out = absl::StrCat("\n", plan.layout.gpus(), " x ", std::string(plan.gpu->title), ", ",
                                 layout_text(plan.layout), "\n", memory_table(group));
  std::vector<std::string> rooms, speeds;
  for (const auto& [length, n] : group.sequences) {
    rooms.push_back(absl::StrCat(with_commas(n), " of ", with_commas(length)));
  }
  for (const auto& [batch, rate] : group.decode) speeds.push_back(absl::StrCat(batch, ": ", fixed(rate, 0)));
  out += wrapped(absl::StrCat("KV cache: ", with_commas(group.kv_tokens), " tokens, ",
                              with_commas(plan.share().kv_token_bytes),
                              " bytes each on a GPU; sequences at once: ", absl::StrJoin(rooms, ", ")));
  out += wrapped(absl::StrCat("at most, tok/s: decode by sequences ", absl::StrJoin(speeds, ", "), "; prefill ",
                              fixed(group.prefill, 0)));
  if (!group.fits) {
    absl::StrAppend(&out, "does not fit: ", report.wanted.sequences, " of ", with_commas(report.wanted.length),
                    " tokens are wanted\n");
  }
  if (group.cost) out += cost_text(*group.cost, settings);
  for (const std::string& warning : group.warnings) out += wrapped("note: " + warning);
  if (group.fits) absl::StrAppend(&out, "serve: ", group.serve, "\n");
  return out;
}

std::vector<std::string> cost_cells(const GroupReport& group) {
  if (!group.cost) return {"-", "-", "-"};
  const Cost& cost = *group.cost;
  return {absl::StrCat(cost.n_instances > 1 ? absl::StrCat(cost.n_instances, " x ") : "", cost.instance->name),
          absl::StrCat("$", fixed(cost.dollars_an_hour, 2)), absl::StrCat("$", fixed(cost.dollars_a_million(), 2))};
}

// With prices there is no room for the weights and prefill.
std::vector<std::string> summary_head(const PlanSettings& settings, const std::string& first) {
  if (settings.options.plan.price) {
    return {first, "GPUs", "layout", "KV tokens", "decode", "instance", "$/hour", "$/M tok"};
  }
  return {first, "GPUs", "layout", "GiB/GPU", "KV tokens", "seqs", "decode", "prefill"};
}

std::vector<std::string> summary_row(const GroupReport& group, const PlanSettings& settings, std::string first) {
  const auto at_64 =
      std::find_if(group.decode.begin(), group.decode.end(), [](const auto& d) { return d.first == 64; });
  const std::string gpus = absl::StrCat(group.plan.layout.gpus()), tokens = with_commas(group.kv_tokens);
  std::vector<std::string> row = {std::move(first), gpus, layout_text(group.plan.layout)};
  if (settings.options.plan.price) {
    row.insert(row.end(), {tokens, fixed(at_64->second, 0)});
    const std::vector<std::string> cost = cost_cells(group);
    row.insert(row.end(), cost.begin(), cost.end());
    return row;
  }
  const int64_t sequences = group.plan.sequences_of(8192, group.request.cache.block_size);
  row.insert(row.end(), {gib(group.plan.share().weights), tokens, with_commas(sequences), fixed(at_64->second, 0),
                         fixed(group.prefill, 0)});
  return row;
}

constexpr const char* kSummaryNote =
    "GiB of weights of the fullest GPU; sequences of 8,192 tokens; tok/s at most, decode of 64 sequences\n";

std::string summary_note(const PlanSettings& settings) {
  const PlanOptions& options = settings.options.plan;
  if (!options.price) return kSummaryNote;
  const std::string speed = options.tokens_per_second > 0
                                ? absl::StrCat(fixed(options.tokens_per_second, 0), " tok/s a group")
                                : absl::StrCat(fixed(100 * options.limit_share, 0), " % of decode");
  return wrapped(absl::StrCat("decode: tok/s at most, of 64 sequences; a million output tokens at ", speed,
                              " on full instances; prices of ", settings.prices.dated, ", ", settings.prices.region));
}

}  // namespace

std::string report_text(const ModelReport& report, const PlanSettings& settings) {
  std::string out = model_text(report);
  if (report.detailed) {
    for (const GroupReport& group : report.groups) out += group_text(group, report, settings);
  } else if (!report.groups.empty()) {
    absl::StrAppend(&out, "\nThe fewest GPUs that hold it, with ", report.wanted.sequences, " x ",
                    with_commas(report.wanted.length), " tokens\n");
    TextTable table(summary_head(settings, "GPU"));
    for (const GroupReport& group : report.groups) {
      table.add(summary_row(group, settings, std::string(group.plan.gpu->title)));
    }
    absl::StrAppend(&out, table.text(), summary_note(settings), "--gpu NAME shows one in detail.\n");
  }
  if (!report.do_not_hold.empty()) {
    out += wrapped("not held by 64 of: " + absl::StrJoin(report.do_not_hold, ", "));
  }
  if (!report.this_machine.empty()) absl::StrAppend(&out, "\nserve here: ", report.this_machine, "\n");
  return out;
}

std::string comparison_text(const std::vector<ModelReport>& reports, const PlanSettings& settings) {
  TextTable sizes({"model", "total B", "active B", "bf16 GB", "kept in", "KV bytes/token"});
  TextTable table(summary_head(settings, "model, GPU"));
  std::string out;
  for (const ModelReport& report : reports) {
    const plan::ModelFacts& facts = report.model->facts;
    sizes.add({report.model->title, billions(facts.parameters), billions(facts.active_with_embedding),
               fixed(2 * static_cast<double>(facts.parameters) / 1e9, 1),
               report.model->stored.empty() ? "as stored" : report.model->stored,
               with_commas(2 * facts.kv_elements_per_token)});
    for (const GroupReport& group : report.groups) {
      table.add(
          summary_row(group, settings, absl::StrCat(report.model->title, " ", std::string(group.plan.gpu->name))));
    }
    if (report.do_not_hold.empty()) continue;
    absl::StrAppend(&out, report.model->title, " is not held by 64 of: ", absl::StrJoin(report.do_not_hold, ", "),
                    "\n");
  }
  return absl::StrCat(sizes.text(), "\n", table.text(), summary_note(settings), out);
}

}  // namespace polymath::commands
