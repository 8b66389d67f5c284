// How a TransformerModel is put together: weights into layers, scratch for the largest step, the cache, graphs.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "model/loading/shared_weights.h"
#include "model/memory.h"
#include "model/transformer.h"

namespace polymath::model {

using tensor::DType;
using tensor::Tensor;

namespace {

class ModelWeights : public layers::LayerWeights {
 public:
  struct Sources {
    WeightStore& store;
    AdapterSet& adapters;
    RopeTables& ropes;
    backend::Backend& backend;
  };
  explicit ModelWeights(const Sources& from) : from_(from) {}
  bool has(const std::string& slot) const override { return from_.store.has(slot); }
  quant::Weight take(const std::string& slot) override { return from_.store.take(slot); }
  const float* vector(const std::string& slot) const override { return from_.store.vector(slot); }
  absl::StatusOr<const float*> rope_table(const RopeConfig& rope) override {
    return from_.ropes.table(from_.backend, rope);
  }
  layers::AdapterWeights take_adapters(const std::string& slot) override { return from_.adapters.take(slot); }

 private:
  const Sources from_;
};

}  // namespace

TransformerModel::TransformerModel(const ModelConfig& config, backend::Backend& backend, const LoadOptions& options,
                                   Weights weights)
    : config_(config),
      backend_(backend),
      options_(options),
      alone_(parallel::lone_communicator()),
      group_(options.group != nullptr ? *options.group : *alone_),
      stage_(options.stage),
      trace_(options.trace != nullptr ? *options.trace : own_trace_),
      store_(std::move(weights.store)),
      adapters_(std::move(weights.adapters)),
      allocated_before_(weights.allocated_before),
      rope_tables_(options.model_len > 0 ? options.model_len : config.positions_max, config.positions_max),
      act_(backend.activation_dtype(options.dtype)),
      has_state_(kvcache::KvCache::state_bytes(cache_specs(config_, {})) > 0),
      on_host_(backend.memory_available() < 0) {}

backend::NormParams TransformerModel::norm_params(const std::string& slot) const {
  return {config_.layer_norm ? backend::NormKind::kLayer : backend::NormKind::kRms, config_.norm_eps, 1,
          store_.vector(slot), store_.vector(slot + "_bias")};
}

absl::Status TransformerModel::build() {
  if (store_.has("embed")) embed_ = store_.take("embed");
  if (store_.has("lm_head")) lm_head_ = store_.take("lm_head");
  final_norm_ = norm_params("final_norm");
  layers_.resize(config_.layers.size());
  std::vector<layers::FeedForward*> ffns;
  for (size_t l = 0; l < layers_.size(); ++l) {
    RETURN_IF_ERROR(build_layer(static_cast<int>(l)));
    ffns.push_back(&layers_[l].ffn);
  }
  RETURN_IF_ERROR(counters_.attach(backend_, ffns, stage_));
  RETURN_IF_ERROR(movable_.attach(backend_, ffns));
  weight_bytes_ = backend_.allocated_bytes() - allocated_before_;
  return absl::OkStatus();
}

absl::Status TransformerModel::build_layer(int index) {
  Layer& layer = layers_[static_cast<size_t>(index)];
  const LayerConfig& config = config_.layers[static_cast<size_t>(index)];
  ModelWeights weights({store_, adapters_, rope_tables_, backend_});
  const layers::LayerBuilder builder{.weights = weights,
                                     .backend = backend_,
                                     .rank = rank_of(options_),
                                     .prefix = absl::StrCat("layer.", stage_.first_layer + index, "."),
                                     .hidden = config_.hidden,
                                     .norm_eps = config_.norm_eps,
                                     .residual_scale = config_.residual_scale};
  layer.attn_norm = norm_params(builder.prefix + "attn_norm");
  layer.attn_post_norm = norm_params(builder.prefix + "attn_post_norm");
  layer.ffn_norm = norm_params(builder.prefix + "ffn_norm");
  layer.ffn_post_norm = norm_params(builder.prefix + "ffn_post_norm");
  ASSIGN_OR_RETURN(layer.attention, layers::make_attention(config.attention, builder));
  ASSIGN_OR_RETURN(layer.ffn, layers::FeedForward::make(config.ffns, builder));
  return absl::OkStatus();
}

size_t TransformerModel::kv_block_bytes(const CacheOptions& options) const {
  return kvcache::KvCache::block_bytes(backend_, cache_specs(config_, options));
}

size_t TransformerModel::state_bytes() const { return kvcache::KvCache::state_bytes(cache_specs(config_, {})); }

layers::QueryTemperature TransformerModel::query_temperature() const {
  for (const auto& layer : config_.layers) {  // the same in every layer that has one
    const layers::QueryTemperature temperature = layers::query_temperature(layer.attention);
    if (temperature.floor > 0) return temperature;
  }
  return {};
}

absl::Status TransformerModel::reserve(const backend::StepLimits& given) {
  CHECK(limits_.tokens_max == 0 && given.tokens_max >= 1 && given.seqs_max >= 1 && given.blocks_max >= 1);
  const auto type = [this](size_t layer, size_t block) {
    const auto& network = *layers_[layer].ffn.blocks()[block];
    return expert_type(network.gate_up.format->dtype, network.down.format->dtype);
  };
  const StepMemory step = step_memory(config_, rank_of(options_), given, {type, store_.packed_linear_max(), on_host_});
  result_sets_ = step.result_sets;
  limits_ = step.limits;
  const size_t before = backend_.allocated_bytes();
  RETURN_IF_ERROR(backend::allocate_all(backend_, activation_sizes(config_, step), act_buffers_));
  ASSIGN_OR_RETURN(scratch_, layers::Scratch::create(backend_, step.scratch, limits_.tokens_max));
  ASSIGN_OR_RETURN(inputs_, StepInputs::create(backend_, limits_, query_temperature()));
  ASSIGN_OR_RETURN(moe_scratch_,
                   layers::MoeScratch::create(backend_, limits_.tokens_max, limits_.pairs_max, step.router_width));
  for (size_t l = 0; l < layers_.size(); ++l) RETURN_IF_ERROR(reserve_layer(l));
  if (adapters_.size() > 0) {
    ASSIGN_OR_RETURN(adapter_step_, layers::AdapterStep::create(backend_, adapters_.limits(), limits_.tokens_max));
  }
  RETURN_IF_ERROR(backend_.reserve(limits_));
  scratch_bytes_ = backend_.allocated_bytes() - before;
  return absl::OkStatus();
}

absl::Status TransformerModel::reserve_layer(size_t index) {
  const auto& ffns = config_.layers[index].ffns;
  for (size_t b = 0; b < ffns.size(); ++b) {
    RETURN_IF_ERROR(layers_[index].ffn.blocks()[b]->reserve(backend_, ffns[b], config_.hidden));
  }
  return absl::OkStatus();
}

absl::Status TransformerModel::make_cache(const CacheOptions& options) {
  CHECK(cache_ == nullptr && limits_.tokens_max > 0);
  ASSIGN_OR_RETURN(cache_, kvcache::KvCache::create(backend_, cache_specs(config_, options),
                                                    {options.n_blocks, options.n_state_slots}));
  const int rows_max = graph_rows_max(config_, options_, backend_, limits_);
  if (rows_max == 0) return absl::OkStatus();
  return graphs_.capture(backend_, inputs_, rows_max, [this](const StepViews& views) { run(views); });
}

namespace {

void log_unused(const std::vector<std::string>& directories, const AdapterSet& adapters) {
  for (size_t i = 0; i < directories.size(); ++i) {
    const auto& unused = adapters.unused()[i];
    if (unused.empty()) continue;
    base::log_warning("model", "the adapter ", directories[i], " changes ", unused.size(),
                      " tensors that adapters do not reach yet (only attention); its answers will differ: ", unused[0],
                      unused.size() > 1 ? ", ..." : "");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transformer>> load_model(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                        backend::Backend& backend, const LoadOptions& options) {
  const parallel::Rank rank = rank_of(options);
  ASSIGN_OR_RETURN(const ModelConfig local, local_config(config, rank));
  const size_t before = backend.allocated_bytes();
  const auto load = [&] { return load_weights(config, checkpoint, backend, options); };
  ASSIGN_OR_RETURN(WeightStore store, options.shared != nullptr
                                          ? options.shared->of_rank(rank.stage.at * rank.size + rank.at, load)
                                          : load());
  ASSIGN_OR_RETURN(AdapterSet adapters, AdapterSet::load(options.adapters, config, backend, rank));
  if (rank.first() && rank.stage.first()) log_unused(options.adapters, adapters);
  auto model = std::make_unique<TransformerModel>(
      local, backend, options, TransformerModel::Weights{std::move(store), std::move(adapters), before});
  RETURN_IF_ERROR(model->build());
  return model;
}

}  // namespace polymath::model
