#include "commands/plan/guide.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "commands/text_table.h"
#include "plan/known_models.h"

namespace polymath::commands {
namespace {

constexpr double kTolerance = 0.025;  // the guide rounds to two or three digits,
constexpr double kWhole = 1.01;       // and figures without a fraction to whole ones, often upwards

bool near(double guide, double computed) {
  const bool whole = guide == std::floor(guide) && guide > 10;
  return std::abs(guide - computed) <= std::max(kTolerance * computed, whole ? kWhole : 0);
}

// One figure of a row.
Claim figure(const std::string& subject, double guide, double computed, int n_digits) {
  return {.subject = subject,
          .guide = fixed(guide, guide == std::floor(guide) ? 0 : 1),
          .computed = fixed(computed, n_digits),
          .right = near(guide, computed),
          .note = ""};
}

// A known model, planned without a file.
struct Planned {
  model::ModelConfig config;
  std::unique_ptr<weights::Checkpoint> checkpoint;
};

absl::StatusOr<Planned> planned(std::string_view known) {
  Planned out;
  ASSIGN_OR_RETURN(out.config, plan::known_config(known));
  out.checkpoint = weights::dummy_checkpoint(0, out.config.dtype);
  return out;
}

struct Deployment {
  std::string_view what, known, stored;
  std::string_view gpu;
  int tensor = 1;
  double share = 0.9;
  int length = 8192, step_tokens = 2048;
  std::string_view kv_type = "bfloat16";
  std::string_view note = "";  // where it does not fit
};

// Whether one sequence of the length fits, and the bytes of each GPU.
absl::StatusOr<Claim> check_deployment(const Deployment& d) {
  ASSIGN_OR_RETURN(const Planned p, planned(d.known));
  ASSIGN_OR_RETURN(plan::StoredAs stored, plan::stored_as(d.stored));
  ASSIGN_OR_RETURN(const plan::GroupPlanner planner, plan::GroupPlanner::create({p.config, *p.checkpoint, stored}));
  const int length = std::min(d.length, p.config.positions_max);
  const plan::GroupRequest request{
      .layout = {.tensor = d.tensor},
      .gpu = plan::find_gpu(d.gpu),
      .memory_share = d.share,
      .step = {.tokens_max = d.step_tokens, .seqs_max = 256, .logit_rows_max = 256, .blocks_max = (length + 15) / 16},
      .cache = {.block_size = 16, .type = *backend::KvType::named(d.kv_type)},
      .model_len = length};
  ASSIGN_OR_RETURN(const plan::GroupPlan plan, planner.plan(request));
  const bool fits = plan.fits(1, length);
  return Claim{.subject = std::string(d.what),
               .guide = absl::StrCat(d.tensor, " x ", std::string(d.gpu)),
               .computed = absl::StrCat(fits ? "holds " : "cannot hold ",
                                        fixed(static_cast<double>(plan.share().weights) / 1e9, 1), " GB each",
                                        fits ? absl::StrCat(", ", with_commas(plan.tokens(1)), " tokens") : ""),
               .right = fits,
               .note = fits ? "" : std::string(d.note)};
}

struct MemoryRow {
  std::string_view title, known;
  double total, active;     // billions
  double fp16_gb, int8_gb;  // 10^9 bytes
  std::string_view note;
};

constexpr MemoryRow kMemory[] = {
    {"Mixtral 8x7B", "Mixtral-8x7B", 46.7, 12.9, 94, 47, ""},
    {"Mixtral 8x22B", "Mixtral-8x22B", 141, 39, 282, 141, ""},
    {"DeepSeek-V3", "DeepSeek-V3", 671, 37, 800, 400,
     "released in fp8, a byte a parameter; bf16 takes two, and nothing takes less than one"},
    {"DeepSeek-MoE 16B", "DeepSeek-MoE-16B", 16.4, 2.8, 33, 17, ""},
    {"Qwen2.5-MoE-A14B", "Qwen2-57B-A14B", 50, 14, 100, 50, "no model has this name; Qwen2-57B-A14B is what is meant"},
    {"Qwen1.5-MoE-A2.7B", "Qwen1.5-MoE-A2.7B", 14.3, 2.7, 29, 15, ""},
    {"DBRX", "DBRX", 132, 36, 264, 132, ""},
};

constexpr Deployment kGpuTable[] = {
    {"Mixtral 8x7B", "Mixtral-8x7B", "none", "a100-80gb", 2},
    {"Mixtral 8x22B", "Mixtral-8x22B", "none", "h100-80gb", 4},
    {.what = "DeepSeek-V3 (fp8)",
     .known = "DeepSeek-V3",
     .stored = "fp8",
     .gpu = "h100-80gb",
     .tensor = 8,
     .note = "625 GiB of fp8 weights leave no room on 8 x 80 GB: 8 H200, or two hosts"},
    {"DeepSeek-MoE 16B", "DeepSeek-MoE-16B", "none", "a100-40gb", 1},
    {"Qwen2.5-MoE-A14B", "Qwen2-57B-A14B", "none", "a100-80gb", 2},
    {"Qwen1.5-MoE-A2.7B", "Qwen1.5-MoE-A2.7B", "none", "a100-40gb", 1},
    {"DBRX", "DBRX", "none", "h100-80gb", 4},
};

constexpr Deployment kManifests[] = {
    {.what = "mixtral-8x7b-vllm, p4d.24xlarge",
     .known = "Mixtral-8x7B",
     .stored = "none",
     .gpu = "a100-40gb",
     .tensor = 2,
     .length = 32768,
     .step_tokens = 32768,
     .kv_type = "fp8",
     .note = "p4d has A100 of 40 GB; those of 80 GB are p4de, or take four"},
    {.what = "mixtral-8x22b-vllm, p5.48xlarge",
     .known = "Mixtral-8x22B-Instruct",
     .stored = "none",
     .gpu = "h100-80gb",
     .tensor = 4,
     .share = 0.92,
     .length = 65536,
     .step_tokens = 65536,
     .kv_type = "fp8",
     .note = "activations of 65,536 tokens a step do not fit beside the weights: 8,192 do"},
    {.what = "mixtral-8x7b-tgi, p4d.24xlarge",
     .known = "Mixtral-8x7B",
     .stored = "none",
     .gpu = "a100-40gb",
     .tensor = 2,
     .length = 32768,
     .step_tokens = 32768,
     .note = "as above"},
    {.what = "mixtral-8x7b-tgi-awq, g5.48xlarge",
     .known = "Mixtral-8x7B",
     .stored = "awq",
     .gpu = "a10g",
     .tensor = 2,
     .length = 16384,
     .note = "four A10G hold it"},
};

struct TensorRow {
  std::string_view title, known;
  int tensor;
  double gb;  // weights of each GPU
};
constexpr TensorRow kTensor[] = {{"Mixtral 8x7B, TP 2", "Mixtral-8x7B", 2, 47},
                                 {"Mixtral 8x22B, TP 4", "Mixtral-8x22B", 4, 70},
                                 {"DeepSeek-MoE 16B, TP 1", "DeepSeek-MoE-16B", 1, 33},
                                 {"DBRX, TP 4", "DBRX", 4, 66},
                                 {"DBRX, TP 8", "DBRX", 8, 33}};

absl::StatusOr<GuideTable> memory_table() {
  GuideTable table{.title = "Memory of MoE models", .claims = {}};
  for (const MemoryRow& row : kMemory) {
    ASSIGN_OR_RETURN(const model::ModelConfig config, plan::known_config(row.known));
    const plan::ModelFacts facts = plan::model_facts(config);
    const double total = static_cast<double>(facts.parameters) / 1e9;
    const std::string title(row.title);
    std::vector<Claim> claims = {
        figure(title + ", total B", row.total, total, 3),
        figure(title + ", active B", row.active, static_cast<double>(facts.active_with_embedding) / 1e9, 3),
        figure(title + ", FP16 GB", row.fp16_gb, 2 * total, 1), figure(title + ", INT8 GB", row.int8_gb, total, 1)};
    for (Claim& claim : claims) {
      if (!claim.right) claim.note = std::string(row.note);
      table.claims.push_back(std::move(claim));
    }
  }
  return table;
}

template <size_t n>
absl::StatusOr<GuideTable> deployments(const std::string& title, const Deployment (&rows)[n]) {
  GuideTable table{.title = title, .claims = {}};
  for (const Deployment& row : rows) {
    ASSIGN_OR_RETURN(Claim claim, check_deployment(row));
    table.claims.push_back(std::move(claim));
  }
  return table;
}

absl::StatusOr<GuideTable> tensor_table() {
  GuideTable table{.title = "GB of weights a GPU under TP", .claims = {}};
  for (const TensorRow& row : kTensor) {
    ASSIGN_OR_RETURN(const Planned p, planned(row.known));
    ASSIGN_OR_RETURN(const plan::GroupPlanner planner, plan::GroupPlanner::create({p.config, *p.checkpoint, {}}));
    const plan::GroupRequest request{.layout = {.tensor = row.tensor},
                                     .gpu = plan::find_gpu("h100-80gb"),
                                     .step = {.tokens_max = 2048, .seqs_max = 1, .logit_rows_max = 1, .blocks_max = 1},
                                     .model_len = 4096};
    ASSIGN_OR_RETURN(const plan::GroupPlan plan, planner.plan(request));
    table.claims.push_back(figure(std::string(row.title), row.gb, static_cast<double>(plan.share().weights) / 1e9, 1));
  }
  return table;
}

// What an instance costs less than another, in per cent.
double saved(const plan::PriceList& prices, const char* instance, const char* than) {
  const plan::Instance *a = prices.find(instance), *b = prices.find(than);
  return a == nullptr || b == nullptr || b->dollars_an_hour <= 0 ? 0
                                                                 : 100 * (1 - a->dollars_an_hour / b->dollars_an_hour);
}

GuideTable price_table(const plan::PriceList& prices) {
  GuideTable table{.title = absl::StrCat("Prices of ", prices.dated, ", ", prices.region), .claims = {}};
  struct Row {
    const char* instance;
    double guide;
    const char* note;
  };
  constexpr Row kRows[] = {
      {"p5.48xlarge", 98.32, "the list price until June 2025"},
      {"p4d.24xlarge", 32.77, "the list price until June 2025"},
      {"trn2.48xlarge", 21.50, "this is trn1.32xlarge's price: 16 Trainium of the first generation"},
  };
  for (const Row& row : kRows) {
    const plan::Instance* instance = prices.find(row.instance);
    if (instance == nullptr) continue;
    for (const double hours : {1.0, kHoursOfMonth}) {
      Claim claim = figure(absl::StrCat(row.instance, hours == 1 ? ", $ an hour" : ", $ a month"), row.guide * hours,
                           instance->dollars_an_hour * hours, hours == 1 ? 2 : 0);
      claim.guide = fixed(row.guide * hours, hours == 1 ? 2 : 0);
      if (!claim.right) claim.note = row.note;
      table.claims.push_back(std::move(claim));
    }
  }
  const char* const kSaved = "a price of an hour, not of tokens; --price with --tokens-per-second compares those";
  for (const auto& [than, percent] : {std::pair("p5.48xlarge", 78.0), std::pair("p4d.24xlarge", 34.0)}) {
    Claim claim{.subject = absl::StrCat("trn2 cheaper than ", than, ", %"), .guide = fixed(percent, 0)};
    const double now = saved(prices, "trn2.48xlarge", than);
    claim.computed = fixed(now, 0);
    claim.right = now > 0 && near(percent, now);
    if (!claim.right) claim.note = kSaved;
    table.claims.push_back(std::move(claim));
  }
  return table;
}

absl::StatusOr<GuideTable> other_table() {
  GuideTable table{.title = "Other claims", .claims = {}};
  ASSIGN_OR_RETURN(const model::ModelConfig config, plan::known_config("DeepSeek-V3"));
  const plan::ModelFacts facts = plan::model_facts(config);
  const double saved_percent = 100 - 100.0 * static_cast<double>(facts.kv_elements_per_token) /
                                         static_cast<double>(facts.mha_elements_per_token);
  table.claims.push_back({.subject = "MLA saves of MHA's KV cache, %",
                          .guide = "40",
                          .computed = fixed(saved_percent, 1),
                          .right = false,
                          .note = "and each tensor-parallel rank keeps the whole latent"});
  const plan::Gpu* chip = plan::find_gpu("trainium2");
  table.claims.push_back({.subject = "trn2.48xlarge, accelerator memory GB",
                          .guide = "512",
                          .computed = fixed(16.0 * static_cast<double>(chip->memory()) / 1e9, 0),
                          .right = false,
                          .note = "512 GB and 800 Gbps are trn1.32xlarge; trn2 has 16 x 96 GiB and 3,200 Gbps"});
  return table;
}

}  // namespace

absl::StatusOr<std::vector<GuideTable>> check_guide(const PlanSettings& settings) {
  std::vector<GuideTable> tables;
  ASSIGN_OR_RETURN(tables.emplace_back(), memory_table());
  ASSIGN_OR_RETURN(tables.emplace_back(), deployments("Recommended GPUs", kGpuTable));
  ASSIGN_OR_RETURN(tables.emplace_back(), tensor_table());
  ASSIGN_OR_RETURN(tables.emplace_back(), deployments("Deployments", kManifests));
  tables.push_back(price_table(settings.prices));
  ASSIGN_OR_RETURN(tables.emplace_back(), other_table());
  return tables;
}

std::string guide_text(const std::vector<GuideTable>& tables) {
  std::string out;
  for (const GuideTable& table : tables) {
    TextTable text({table.title, "guide", "computed", ""});
    std::string notes;
    for (const Claim& claim : table.claims) {
      text.add({claim.subject, claim.guide, claim.computed, claim.right ? "right" : "WRONG"});
      if (!claim.note.empty()) notes += wrapped(absl::StrCat("  ", claim.subject, ": ", claim.note));
    }
    absl::StrAppend(&out, out.empty() ? "" : "\n", text.text(), notes);
  }
  return out;
}

base::JsonObject guide_json(const std::vector<GuideTable>& tables) {
  const auto text = [](const std::string& s) { return boost::json::string(s); };
  base::JsonArray out;
  for (const GuideTable& table : tables) {
    base::JsonArray claims;
    for (const Claim& c : table.claims) {
      claims.push_back(base::JsonObject{{"subject", text(c.subject)},
                                        {"guide", text(c.guide)},
                                        {"computed", text(c.computed)},
                                        {"right", c.right},
                                        {"note", text(c.note)}});
    }
    out.push_back(base::JsonObject{{"title", text(table.title)}, {"claims", std::move(claims)}});
  }
  return base::JsonObject{{"guide", std::move(out)}};
}

}  // namespace polymath::commands
