// How a TransformerModel is put together: weights into layers, scratch for the largest step, the cache, graphs.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
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
      store_(std::move(weights.store)),
      adapters_(std::move(weights.adapters)),
      rope_tables_(options.model_len > 0 ? options.model_len : config.positions_max, config.positions_max),
      act_(backend.activation_dtype(options.dtype)) {}

backend::NormParams TransformerModel::norm_params(const std::string& slot) const {
  return {config_.layer_norm ? backend::NormKind::kLayer : backend::NormKind::kRms, config_.norm_eps, 1,
          store_.vector(slot), store_.vector(slot + "_bias")};
}

absl::Status TransformerModel::build() {
  embed_ = store_.take("embed");
  if (!config_.tied_embeddings) lm_head_ = store_.take("lm_head");
  final_norm_ = norm_params("final_norm");
  layers_.resize(config_.layers.size());
  std::vector<layers::FeedForward*> ffns;
  for (size_t l = 0; l < layers_.size(); ++l) {
    RETURN_IF_ERROR(build_layer(static_cast<int>(l)));
    ffns.push_back(&layers_[l].ffn);
  }
  return counters_.attach(backend_, ffns);
}

absl::Status TransformerModel::build_layer(int index) {
  Layer& layer = layers_[static_cast<size_t>(index)];
  const LayerConfig& config = config_.layers[static_cast<size_t>(index)];
  ModelWeights weights({store_, adapters_, rope_tables_, backend_});
  const layers::LayerBuilder builder{.weights = weights,
                                     .backend = backend_,
                                     .rank = group_.rank(),
                                     .prefix = absl::StrCat("layer.", index, "."),
                                     .hidden = config_.hidden,
                                     .norm_eps = config_.norm_eps,
                                     .residual_scale = config_.residual_scale};
  layer.attn_norm = norm_params(builder.prefix + "attn_norm");
  layer.ffn_norm = norm_params(builder.prefix + "ffn_norm");
  ASSIGN_OR_RETURN(layer.attention, layers::make_attention(config.attention, builder));
  ASSIGN_OR_RETURN(layer.ffn, layers::FeedForward::make(config.ffns, builder));
  return absl::OkStatus();
}

std::vector<kvcache::CacheSpec> TransformerModel::cache_specs(const CacheOptions& options) const {
  std::vector<kvcache::CacheSpec> specs;
  for (const auto& layer : config_.layers) {
    specs.push_back(layers::cache(layer.attention));
    specs.back().paged.block_size = options.block_size;
    specs.back().paged.dtype = options.dtype;
  }
  return specs;
}

size_t TransformerModel::kv_block_bytes(const CacheOptions& options) const {
  return kvcache::KvCache::block_bytes(backend_, cache_specs(options));
}

size_t TransformerModel::state_bytes() const { return kvcache::KvCache::state_bytes(cache_specs({})); }

layers::QueryTemperature TransformerModel::query_temperature() const {
  for (const auto& layer : config_.layers) {  // the same in every layer that has one
    const auto* a = std::get_if<GroupedQuery>(&layer.attention);
    if (a != nullptr && a->temperature.floor > 0) return a->temperature;
  }
  return {};
}

absl::Status TransformerModel::reserve(const backend::StepLimits& given) {
  CHECK(limits_.tokens_max == 0 && given.tokens_max >= 1 && given.seqs_max >= 1 && given.blocks_max >= 1);
  layers::StepNeeds needs{.limits = given};
  if (needs.limits.logit_rows_max == 0) needs.limits.logit_rows_max = given.tokens_max;
  needs.limits.logits_max = static_cast<int64_t>(needs.limits.logit_rows_max) * config_.vocab;
  needs.limits.expert_io_max = config_.hidden;
  int64_t router_width = 1;
  for (const auto& layer : config_.layers) {
    layers::reserve(layer.attention, needs);
    for (const FfnConfig& ffn : layer.ffns) {
      ffn.reserve(needs);
      router_width = std::max(router_width, ffn.router_width());
    }
  }
  needs.limits.hidden_max =
      std::max<int64_t>(config_.hidden, *std::max_element(needs.scratch.begin(), needs.scratch.end()));
  for (const Layer& layer : layers_) {
    for (const auto& block : layer.ffn.blocks()) {
      needs.limits.experts.push_back(block->expert_shape(given.tokens_max));
    }
  }
  limits_ = needs.limits;
  RETURN_IF_ERROR(allocate_activations());
  ASSIGN_OR_RETURN(scratch_, layers::Scratch::create(backend_, needs.scratch, limits_.tokens_max));
  ASSIGN_OR_RETURN(inputs_, StepInputs::create(backend_, limits_, query_temperature()));
  ASSIGN_OR_RETURN(moe_scratch_,
                   layers::MoeScratch::create(backend_, limits_.tokens_max, limits_.pairs_max, router_width));
  if (adapters_.size() > 0) {
    ASSIGN_OR_RETURN(adapter_step_, layers::AdapterStep::create(backend_, adapters_.limits(), limits_.tokens_max));
  }
  return backend_.reserve(limits_);
}

absl::Status TransformerModel::allocate_activations() {
  const int64_t n = limits_.tokens_max, rows = limits_.logit_rows_max;
  const int64_t head_rows = config_.tied_embeddings ? embed_.shape.rows : lm_head_.shape.rows;
  auto& b = act_buffers_;
  const std::pair<tensor::Buffer*, int64_t> sizes[] = {
      {&b.h, n * config_.hidden},
      {&b.gathered, n * config_.hidden},
      {&b.x, n * config_.hidden},
      {&b.logits, rows * config_.vocab},
      {&b.gathered_tokens, n},
      {&b.sampled, rows},
      {&b.local_logits, head_rows < config_.vocab ? rows * head_rows : 0},
  };
  for (const auto& [buffer, elements] : sizes) {
    if (elements == 0) continue;
    ASSIGN_OR_RETURN(*buffer, backend_.allocate(static_cast<size_t>(elements) * sizeof(float)));
  }
  return absl::OkStatus();
}

absl::Status TransformerModel::make_cache(const CacheOptions& options) {
  CHECK(cache_ == nullptr && limits_.tokens_max > 0);
  ASSIGN_OR_RETURN(cache_,
                   kvcache::KvCache::create(backend_, cache_specs(options), {options.n_blocks, options.n_state_slots}));
  if (!graphs_fit()) return absl::OkStatus();
  const int rows_max = std::min({limits_.seqs_max, limits_.tokens_max, limits_.logit_rows_max});
  return graphs_.capture(backend_, inputs_, rows_max, [this](const StepViews& views) { run(views); });
}

// Routing that looks at the whole step goes by way of the host, where no graph goes.
bool TransformerModel::graphs_fit() const {
  return options_.capture_graphs && backend_.captures_graphs() && group_.rank().size == 1 && !has_state() &&
         std::all_of(layers_.begin(), layers_.end(), [](const Layer& layer) { return layer.ffn.by_token(); });
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
  const parallel::Rank rank = options.group != nullptr ? options.group->rank() : parallel::Rank{};
  ASSIGN_OR_RETURN(const ModelConfig local, local_config(config, rank));
  ASSIGN_OR_RETURN(WeightStore store, load_weights(config, checkpoint, backend, options));
  ASSIGN_OR_RETURN(AdapterSet adapters, AdapterSet::load(options.adapters, config, backend, rank));
  if (rank.first()) log_unused(options.adapters, adapters);
  auto model = std::make_unique<TransformerModel>(local, backend, options,
                                                  TransformerModel::Weights{std::move(store), std::move(adapters)});
  RETURN_IF_ERROR(model->build());
  return model;
}

}  // namespace polymath::model
