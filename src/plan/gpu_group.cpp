#include "plan/gpu_group.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "model/expert_counters.h"
#include "model/rope_tables.h"
#include "model/step_memory.h"
#include "plan/memory_plan.h"

namespace polymath::plan {
namespace {

// Measured by NVIDIA's aiconfigurator: a CUDA context with cuBLAS; buffers of NCCL for 2 GPUs, and for more.
constexpr int64_t kContextBytes = 550'000'000;
constexpr int64_t kPeerBytesOfTwo = 342 << 20, kPeerBytes = 392 << 20;

int64_t peer_bytes(int gpus) { return gpus < 2 ? 0 : gpus == 2 ? kPeerBytesOfTwo : kPeerBytes; }

// The CUDA backend's scratch: inputs of GEMMs, (token, expert) pairs in each stage of a feed-forward, partial sums of
// attention. An estimate: its kernels need less for some shapes.
int64_t device_scratch(const backend::StepLimits& limits) {
  constexpr int64_t kPartialSums = int64_t{64} << 20;
  const int64_t tokens = limits.tokens_max, pairs = std::max<int64_t>(limits.pairs_max, tokens);
  const int64_t inputs = std::max(tokens * limits.hidden_max, pairs * limits.expert_io_max / 2);
  int64_t outputs = 0, intermediate = 0;  // bf16 rows in and between GEMMs; f32 sums after them
  bool shared = false, routed = false;
  for (const backend::ExpertShape& shape : limits.experts) {
    (shape.groups == 1 ? shared : routed) = true;
    outputs = std::max(outputs, shape.pairs_max * shape.hidden * (2 + 4));
    intermediate = std::max(intermediate, shape.pairs_max * shape.intermediate * 2);
  }
  int64_t gate_up = 0;  // f32; where a shared expert joins the routed ones
  for (const backend::ExpertShape& shape : limits.experts) {
    if (shared && routed && shape.groups > 1) gate_up = std::max(gate_up, shape.pairs_max * shape.intermediate * 2 * 4);
  }
  return inputs * 4 + outputs + intermediate + gate_up + kPartialSums;
}

const char* use_of(const model::Slot& slot) {
  if (slot.experts) return "experts";
  if (slot.name == "embed") return "embedding";
  if (slot.name == "lm_head") return "output head";
  switch (slot.use) {
    case quant::WeightUse::kExperts:
      return "shared and dense";
    case quant::WeightUse::kRouter:
      return "routers";
    case quant::WeightUse::kVector:
      return "vectors";
    default:
      return "attention";
  }
}

// What a slot's part adds to a step. `values`: of one group.
void add_work(const model::ModelConfig& config, const model::Slot& slot, const quant::WeightShape& local, double bytes,
              StepWork& work) {
  const double values = static_cast<double>(local.rows * local.cols);
  if (slot.name == "embed" && !config.tied_embeddings) return;  // a lookup
  if (slot.name == "lm_head" || slot.name == "embed") {
    work.head_bytes += bytes;
    work.head_flops += 2 * values;
    return;
  }
  if (!slot.experts) {
    work.dense_bytes += bytes;
    if (!slot.is_vector()) work.dense_flops += 2 * values * static_cast<double>(local.groups);
    return;
  }
  const model::LayerConfig& layer = config.layers[static_cast<size_t>(slot.layer)];
  const auto ffn = std::find_if(layer.ffns.begin(), layer.ffns.end(),
                                [](const model::FfnConfig& f) { return f.router.n_experts > 1; });
  if (slot.name.ends_with("gate_up")) {
    work.experts.push_back({.n_layers = 1,
                            .experts = static_cast<double>(ffn->router.n_experts),
                            .top_k = static_cast<double>(ffn->router.top_k),
                            .on_gpu = static_cast<double>(local.groups)});
  }
  if (work.experts.empty()) return;
  ExpertWork& e = work.experts.back();
  e.expert_bytes += bytes / static_cast<double>(local.groups);
  if (!slot.is_vector()) e.pair_flops += 2 * values;
}

AttentionWork attention_work(const model::AttentionConfig& local, double token_bytes) {
  AttentionWork work{.n_layers = 1, .token_bytes = token_bytes, .pair_flops = 0, .window = 0};
  const auto params = layers::params(local);
  if (!params) return work;
  const backend::KvShape kv = layers::cache(local).paged;
  work.pair_flops = 2.0 * params->n_heads * (kv.key_dim + kv.value_dim);
  work.window = std::max(params->window, params->chunk);
  return work;
}

}  // namespace

GroupPlanner::GroupPlanner(const GroupSource& source) : source_(source), table_(source.config, source.checkpoint) {}

absl::StatusOr<GroupPlanner> GroupPlanner::create(const GroupSource& source) {
  GroupPlanner planner(source);
  ASSIGN_OR_RETURN(planner.backend_, backend::make_backend("reference", {.threads = 1}));
  return planner;
}

absl::StatusOr<model::ModelConfig> GroupPlanner::part_of(const Layout& layout, const parallel::Stage& stage) const {
  const parallel::Rank experts{layout.expert_ranks(), 0, layout.expert_parallel};
  parallel::Rank rank{layout.tensor, 0, layout.expert_parallel};
  rank.stage = stage;
  ASSIGN_OR_RETURN(model::ModelConfig part, model::local_config(source_.config, rank));
  const auto first_layer = static_cast<size_t>(stage.first_layer);
  for (size_t l = 0; l < part.layers.size(); ++l) {
    std::vector<model::FfnConfig>& ffns = part.layers[l].ffns;
    for (size_t b = 0; b < ffns.size(); ++b) {
      const model::FfnConfig& whole = source_.config.layers[first_layer + l].ffns[b];
      if (whole.router.n_experts == 1) continue;
      ffns[b] = whole;
      RETURN_IF_ERROR(ffns[b].split(experts));
    }
  }
  return part;
}

// The loader's own choice of formats. Of weights that no file has, one group stands for all.
std::vector<model::WeightPart> GroupPlanner::parts_of(const model::Slot& slot, parallel::Rank rank) const {
  const StoredAs& stored = source_.stored;
  model::LoadOptions options{.dtype = source_.config.dtype};
  if (slot.name == "lm_head") {
    options.pack_to = stored.head;
  } else if (slot.use == quant::WeightUse::kExperts) {
    options.pack_to = slot.experts || !stored.linear.empty() ? stored.experts : stored.linear;
  } else {
    options.pack_to = stored.linear;
  }
  const quant::WeightShape shape = layers::local_slot(slot, rank).shape;
  if (!source_.checkpoint.tensors().empty()) {
    return weight_parts({source_.checkpoint, *backend_, options}, slot, shape, table_.pieces(slot, rank));
  }
  model::Slot one = slot;
  one.shape.groups = 1;
  one.experts = false;
  one.groups = {};
  const parallel::Rank of_rows = slot.experts && rank.whole_experts ? parallel::Rank{} : rank;
  return weight_parts({source_.checkpoint, *backend_, options}, slot, shape, table_.pieces(one, of_rows));
}

void GroupPlanner::add_slots(const GroupRequest& request, const parallel::Stage& stage, GpuShare& share) const {
  const Layout& layout = request.layout;
  for (const model::Slot& slot : model::slots(source_.config, stage)) {
    const parallel::Rank rank = slot.experts ? parallel::Rank{layout.expert_ranks(), 0, layout.expert_parallel}
                                             : parallel::Rank{layout.tensor, 0, false};
    const quant::WeightShape shape = layers::local_slot(slot, rank).shape;
    const quant::QuantFormat& plain = quant::plain_format(source_.config.dtype);
    std::vector<model::WeightPart> parts;
    if (slot.use == quant::WeightUse::kRouter) {
      parts.push_back({&plain, 0, shape});  // as on CUDA: the reference computes it in f32
    } else if (!slot.is_vector()) {
      parts = parts_of(slot, rank);
    }
    int64_t bytes = slot.is_vector() ? static_cast<int64_t>(model::vector_bytes(shape)) : 0;
    if (slot.is_vector()) share.by_use[{use_of(slot), "float32"}] += bytes;
    for (const model::WeightPart& part : parts) {
      const auto n = static_cast<int64_t>(backend_->weight_bytes(part.shape, *part.format));
      share.by_use[{use_of(slot), std::string(part.format->name)}] += n;
      share.margin += kRoundingBytes;
      bytes += n;
    }
    share.weights += bytes;
    add_work(source_.config, slot, shape, static_cast<double>(bytes), share.work);
  }
}

absl::StatusOr<GpuShare> GroupPlanner::share_of(const GroupRequest& request, const parallel::Stage& stage) const {
  ASSIGN_OR_RETURN(const model::ModelConfig part, part_of(request.layout, stage));
  GpuShare share;
  add_slots(request, stage, share);
  const auto tables =
      static_cast<int64_t>(model::RopeTables::bytes(part, request.model_len) + model::ExpertCounters::bytes(part));
  share.by_use[{"rotary tables", "float32"}] += tables;
  share.weights += tables;
  const bool packed = !source_.stored.experts.empty();
  const auto type = [&](size_t, size_t) { return packed ? tensor::DType::kU8 : part.dtype; };
  parallel::Rank rank{request.layout.tensor, 0, false};
  rank.stage = stage;
  const model::StepMemory step = model::step_memory(part, rank, request.step, {type, /*packed_linear_max=*/0});
  const size_t with_reference = model::step_bytes(part, step, {}, *backend_);
  share.activations =
      static_cast<int64_t>(with_reference - backend_->reserve_bytes(step.limits)) + device_scratch(step.limits);
  share.context = kContextBytes;
  share.peers = peer_bytes(request.layout.gpus());
  share.margin += kDeviceMarginBytes + kRoundingBytes * stage.n_layers;
  const auto specs = model::cache_specs(part, request.cache);
  for (size_t l = 0; l < specs.size(); ++l) {
    if (specs[l].kind == kvcache::CacheKind::kState) {
      share.state_bytes += static_cast<int64_t>(specs[l].state_bytes);
      continue;
    }
    const auto block = static_cast<int64_t>(backend_->kv_block_bytes(specs[l].paged));
    share.kv_token_bytes += block / request.cache.block_size;
    share.work.attention.push_back(attention_work(
        part.layers[l].attention, static_cast<double>(block) / static_cast<double>(request.cache.block_size)));
  }
  return share;
}

absl::StatusOr<GroupPlan> GroupPlanner::plan(const GroupRequest& request) const {
  const auto n_layers = static_cast<int>(source_.config.layers.size());
  const int stages = request.layout.pipeline;
  if (stages > n_layers) {
    return absl::InvalidArgumentError(absl::StrCat(n_layers, " layers do not fill ", stages, " pipeline stages"));
  }
  GroupPlan plan{.layout = request.layout, .gpu = request.gpu, .usable = 0, .stages = {}, .fullest = 0};
  plan.usable = static_cast<int64_t>(request.memory_share * static_cast<double>(request.gpu->memory()));
  double least = 0;
  for (const parallel::Stage& stage : parallel::stages_of(parallel::even_stages(n_layers, stages))) {
    ASSIGN_OR_RETURN(GpuShare share, share_of(request, stage));
    const double room =
        static_cast<double>(plan.left(share)) / static_cast<double>(std::max<int64_t>(1, share.kv_token_bytes));
    if (stage.first() || room < least) {
      least = room;
      plan.fullest = stage.at;
    }
    plan.stages.push_back(std::move(share));
  }
  return plan;
}

int64_t GroupPlan::tokens(int64_t sequences) const {
  int64_t least = INT64_MAX;
  const int64_t of_group = (sequences + layout.data - 1) / layout.data;
  for (const GpuShare& share : stages) {
    const int64_t room = left(share) - share.state_bytes * of_group;
    if (room <= 0) return 0;
    if (share.kv_token_bytes > 0) least = std::min(least, room / share.kv_token_bytes);
  }
  constexpr int64_t kUnbounded = int64_t{1} << 40;  // no layer keeps keys
  return least == INT64_MAX ? kUnbounded : least * layout.data;
}

int64_t GroupPlan::sequences_of(int64_t length, int block_size) const {
  const int64_t whole = (length + block_size - 1) / block_size * block_size;
  int64_t least = 0, most = int64_t{1} << 20;
  while (least < most) {
    const int64_t n = least + (most - least + 1) / 2;
    if (fits(n, whole)) {
      least = n;
    } else {
      most = n - 1;
    }
  }
  return least;
}

}  // namespace polymath::plan
