#include "commands/plan/report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "commands/runtime.h"
#include "plan/known_models.h"
#include "plan/speed.h"

namespace polymath::commands {
namespace {

constexpr int64_t kWantedLength = 8192;  // tokens of a sequence, where no flag says them
constexpr int kDecodeBatches[] = {1, 16, 64, 256};
constexpr double kDecodeContext = 2048;  // tokens of KV cache of each decoded sequence
constexpr int kPricedBatch = 64;

int ceil_div(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }

plan::GroupRequest request_of(const Options& options, const model::ModelConfig& config, const plan::Gpu& gpu) {
  const RuntimeOptions& runtime = options.runtime;
  const StepSize size = default_step_size(gpu.memory());
  const int tokens = runtime.step_tokens > 0 ? runtime.step_tokens : size.tokens;
  const int sequences = std::min(tokens, runtime.sequences > 0 ? runtime.sequences : size.sequences);
  const int length = options.model.max_model_len > 0 ? options.model.max_model_len : config.positions_max;
  backend::KvType kv{config.dtype == tensor::DType::kBf16 ? tensor::DType::kBf16 : tensor::DType::kF32, {}};
  if (runtime.kv_dtype != "auto") kv = *backend::KvType::named(runtime.kv_dtype);
  return {.layout = {.tensor = runtime.tensor_parallel,
                     .pipeline = options.plan.stages,
                     .data = options.plan.data_groups,
                     .expert_parallel = runtime.expert_parallel},
          .gpu = &gpu,
          .memory_share = runtime.memory_share,
          .step = {.tokens_max = tokens,
                   .seqs_max = sequences,
                   .logit_rows_max = sequences,
                   .blocks_max = ceil_div(length, runtime.block_size)},
          .cache = {.block_size = runtime.block_size, .type = kv},
          .model_len = length};
}

bool layout_given(const Options& options) {
  return options.runtime.tensor_parallel > 1 || options.runtime.expert_parallel || options.plan.stages > 1 ||
         options.plan.data_groups > 1;
}

// As `serve` does: a model that fills its GPUs gets smaller steps, where no flag sets them.
void make_steps_smaller(const Options& options, plan::GroupRequest& request) {
  const StepSize small = default_step_size(0);
  if (options.runtime.step_tokens == 0) request.step.tokens_max = std::min(request.step.tokens_max, small.tokens);
  if (options.runtime.sequences == 0) {
    request.step.seqs_max = std::min({request.step.seqs_max, small.sequences, request.step.tokens_max});
  }
  request.step.logit_rows_max = request.step.seqs_max;
}

// Plan and request alone: the layout of the flags, or the smallest. Nullopt: even the largest does not hold the model.
absl::StatusOr<std::optional<GroupReport>> find_group(const plan::GroupPlanner& planner, const Options& options,
                                                      const plan::Wanted& wanted, const plan::GroupRequest& request) {
  plan::GroupRequest small = request;
  make_steps_smaller(options, small);
  if (layout_given(options)) {
    ASSIGN_OR_RETURN(plan::GroupPlan plan, planner.plan(request));
    if (plan.fits(wanted.sequences, wanted.length)) return GroupReport{.plan = std::move(plan), .request = request};
    ASSIGN_OR_RETURN(plan, planner.plan(small));
    return GroupReport{.plan = std::move(plan), .request = small};
  }
  std::optional<GroupReport> best;
  for (const plan::GroupRequest& step : {request, small}) {
    auto plan = plan::smallest_group(planner, step, wanted);
    if (!plan || (best && plan->layout.gpus() >= best->plan.layout.gpus())) continue;
    best = GroupReport{.plan = *std::move(plan), .request = step};
    best->request.layout = best->plan.layout;
  }
  return best;
}

std::string serve_command(const PlannedModel& model, const Options& options, const GroupReport& group) {
  const bool is_repository = model.on_disk || model.name.find('/') != std::string::npos;
  const plan::KnownModel* known = is_repository ? nullptr : plan::find_known_model(model.name);
  std::string out = absl::StrCat("polymath serve ", known != nullptr ? std::string(known->repository) : model.name);
  const plan::Layout& layout = group.plan.layout;
  if (layout.tensor > 1) absl::StrAppend(&out, " --tensor-parallel-size ", layout.tensor);
  if (layout.pipeline > 1) absl::StrAppend(&out, " --pipeline-parallel-size ", layout.pipeline);
  if (layout.data > 1) absl::StrAppend(&out, " --data-parallel-size ", layout.data);
  if (layout.expert_parallel) out += " --enable-expert-parallel";
  const int64_t length = options.model.max_model_len;
  if (length > 0) absl::StrAppend(&out, " --max-model-len ", length);
  const StepSize size = default_step_size(group.plan.gpu->memory());
  if (group.request.step.tokens_max != size.tokens) {
    absl::StrAppend(&out, " --max-num-batched-tokens ", group.request.step.tokens_max);
  }
  if (group.request.step.seqs_max != size.sequences) {
    absl::StrAppend(&out, " --max-num-seqs ", group.request.step.seqs_max);
  }
  if (options.runtime.memory_share != RuntimeOptions{}.memory_share) {
    absl::StrAppend(&out, " --gpu-memory-utilization ", options.runtime.memory_share);
  }
  if (options.runtime.kv_dtype != "auto") absl::StrAppend(&out, " --kv-cache-dtype ", options.runtime.kv_dtype);
  return out;
}

// The cheapest instance type with such GPUs, of those with a list price if there are any. Null: none has a price.
const plan::Instance* choose_instance(const plan::PriceList& prices, const plan::GroupPlan& plan) {
  const plan::Instance* best = nullptr;
  const auto dollars = [&](const plan::Instance& instance) {
    return instance.dollars_an_hour * ceil_div(plan.layout.gpus(), instance.n_gpus);
  };
  for (const plan::Instance& instance : prices.instances) {
    if (instance.gpu != plan.gpu || instance.dollars_an_hour <= 0) continue;
    if (plan.layout.tensor * plan.layout.data > instance.n_gpus) continue;  // only stages are split over hosts
    const bool better =
        best == nullptr || (instance.listed != best->listed ? instance.listed : dollars(instance) < dollars(*best));
    if (better) best = &instance;
  }
  return best;
}

std::optional<Cost> cost_of(const PlanOptions& options, const plan::Instance* instance, const GroupReport& group) {
  if (instance == nullptr || instance->dollars_an_hour <= 0) return std::nullopt;
  Cost cost{.instance = instance};
  const int gpus = group.plan.layout.gpus();
  cost.n_instances = ceil_div(gpus, instance->n_gpus);
  cost.groups_of_instance = std::max(1, instance->n_gpus / gpus);
  cost.dollars_an_hour = instance->dollars_an_hour * cost.n_instances;
  const double of_group = options.tokens_per_second > 0
                              ? options.tokens_per_second
                              : options.limit_share * plan::decode_limit(group.plan, kPricedBatch, kDecodeContext);
  cost.tokens_per_second = of_group * cost.groups_of_instance;
  return cost;
}

void describe(const plan::GroupPlanner& planner, const plan::Wanted& wanted, GroupReport& group) {
  const plan::GroupPlan& plan = group.plan;
  const int block = group.request.cache.block_size;
  group.kv_tokens = plan.tokens(wanted.sequences);
  group.fits = plan.fits(wanted.sequences, wanted.length);
  const int64_t longest = planner.config().positions_max;
  std::vector<int64_t> lengths = {2048, 8192, 32768, 131072};
  lengths.push_back(wanted.length);
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (const int64_t length : lengths) {
    if (length <= longest) group.sequences.emplace_back(length, plan.sequences_of(length, block));
  }
  for (const int batch : kDecodeBatches) {
    const double context = std::min<double>(kDecodeContext, static_cast<double>(longest));
    group.decode.emplace_back(batch, plan::decode_limit(plan, batch, context));
  }
  group.prefill =
      plan::prefill_limit(plan, std::min<double>(group.request.step.tokens_max, static_cast<double>(longest)));
  group.warnings = plan::warnings(planner, plan, group.request);
  if (plan.layout.pipeline > 1) group.warnings.push_back("on GPUs this build refuses --pipeline-parallel-size");
}

// A kind of GPU, or an instance type with such GPUs.
struct Target {
  const plan::Gpu* gpu = nullptr;
  const plan::Instance* instance = nullptr;
};

absl::StatusOr<std::vector<Target>> targets_of(const PlanSettings& settings) {
  std::vector<Target> out;
  for (const std::string& name : settings.options.plan.gpus) {
    const plan::Gpu* gpu = plan::find_gpu(name);
    if (gpu == nullptr) {
      std::string known;
      for (const plan::Gpu& row : plan::known_gpus()) absl::StrAppend(&known, " ", std::string(row.name));
      return absl::NotFoundError(absl::StrCat("--gpu ", name, ": not one of", known));
    }
    out.push_back({gpu, nullptr});
  }
  for (const std::string& name : settings.options.plan.instances) {
    const plan::Instance* instance = settings.prices.find(name);
    if (instance == nullptr) {
      std::string known;
      for (const plan::Instance& row : settings.prices.instances) absl::StrAppend(&known, " ", row.name);
      return absl::NotFoundError(absl::StrCat("--instance ", name, ": not one of", known));
    }
    out.push_back({instance->gpu, instance});
  }
  if (!out.empty()) return out;
  for (const plan::Gpu& gpu : plan::known_gpus()) out.push_back({&gpu, nullptr});
  return out;
}

// The plan that `serve` would make here. It reads headers, and takes no memory.
std::string plan_of_this_machine(const PlannedModel& model, const Options& options) {
  ModelOptions here = options.model;
  here.name = model.name;
  const auto runtime = Runtime::open(here, options.runtime);
  return runtime.ok() ? "\n" + (*runtime)->plan_details() : std::string(runtime.status().message());
}

}  // namespace

absl::StatusOr<ModelReport> make_report(const std::string& name, const PlanSettings& settings) {
  const Options& options = settings.options;
  ModelReport report;
  ASSIGN_OR_RETURN(report.model, open_planned_model(name, options));
  const model::ModelConfig& config = report.model->config;
  if (options.model.max_model_len > config.model_len_max) {
    return absl::InvalidArgumentError(absl::StrCat("--max-model-len ", options.model.max_model_len,
                                                   " exceeds the model's own maximum of ", config.model_len_max));
  }
  report.wanted = {options.plan.sequences, options.model.max_model_len > 0
                                               ? options.model.max_model_len
                                               : std::min<int64_t>(config.positions_max, kWantedLength)};
  ASSIGN_OR_RETURN(const std::vector<Target> targets, targets_of(settings));
  ASSIGN_OR_RETURN(const plan::GroupPlanner planner,
                   plan::GroupPlanner::create({config, *report.model->checkpoint, report.model->stored_as}));
  for (const Target& target : targets) {
    ASSIGN_OR_RETURN(auto found, find_group(planner, options, report.wanted, request_of(options, config, *target.gpu)));
    if (!found) {
      report.do_not_hold.emplace_back(target.gpu->title);
      continue;
    }
    GroupReport& group = report.groups.emplace_back(*std::move(found));
    describe(planner, report.wanted, group);
    group.serve = serve_command(*report.model, options, group);
    const plan::Instance* instance =
        target.instance != nullptr ? target.instance : choose_instance(settings.prices, group.plan);
    if (options.plan.price) group.cost = cost_of(options.plan, instance, group);
  }
  report.detailed = targets.size() == 1;
  if (report.model->on_disk && options.plan.weights.empty() && !layout_given(options)) {
    report.this_machine = plan_of_this_machine(*report.model, options);
  }
  return report;
}

}  // namespace polymath::commands
