#include "model/memory.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "kvcache/kv_cache.h"
#include "model/adapters.h"
#include "model/balance/movable_experts.h"
#include "model/expert_counters.h"
#include "model/graph_capture.h"
#include "model/loading/weight_store.h"
#include "model/loading/weight_table.h"
#include "model/rope_tables.h"

namespace polymath::model {

namespace {

std::string use_name(quant::WeightUse use) {
  switch (use) {
    case quant::WeightUse::kLinear:
      return "linear";
    case quant::WeightUse::kHeads:
      return "heads";
    case quant::WeightUse::kExperts:
      return "experts";
    case quant::WeightUse::kRouter:
      return "router";
    case quant::WeightUse::kEmbedding:
      return "embedding";
    case quant::WeightUse::kVector:
      break;
  }
  return "vector";
}

SpareKind spare_kind(const Slot& slot, const quant::WeightShape& shape, const quant::QuantFormat* format) {
  using Part = SpareKind::Part;
  const bool gate_up = slot.name.ends_with("gate_up") || slot.name.ends_with("gate_up_bias");
  const Part part =
      format != nullptr ? (gate_up ? Part::kGateUp : Part::kDown) : (gate_up ? Part::kGateUpBias : Part::kDownBias);
  return {part, shape.groups, shape.rows, shape.cols, format};
}

int64_t placement_bytes(const ModelConfig& config) {
  size_t bytes = 0;
  for (const LayerConfig& layer : config.layers) {
    for (const FfnConfig& ffn : layer.ffns) bytes += layers::MoeLayer::placement_bytes(ffn);
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace

absl::StatusOr<RankMemory> RankMemory::measure(const MemorySource& source, const backend::Backend& backend,
                                               parallel::Rank rank) {
  RETURN_IF_ERROR(check_packing(source.options, backend));
  ASSIGN_OR_RETURN(ModelConfig local, local_config(source.config, rank));
  RankMemory memory(std::move(local), backend, rank);
  memory.add_slots(source);
  if (source.options.shares_weights) memory.weights_ = 0;
  memory.weights_ += static_cast<int64_t>(RopeTables::bytes(memory.local_, source.options.model_len) +
                                          ExpertCounters::bytes(memory.local_)) +
                     placement_bytes(memory.local_);
  ASSIGN_OR_RETURN(const AdapterMemory adapters,
                   AdapterSet::measure(source.options.adapters, source.config, backend, rank));
  memory.weights_ += static_cast<int64_t>(adapters.bytes);
  memory.adapters_ = adapters.limits;
  return memory;
}

void RankMemory::add_slots(const MemorySource& source) {
  const WeightTable table(source.config, source.checkpoint);
  std::set<SpareKind> spares;
  for (const Slot& slot : slots(source.config, rank_.stage)) {
    const quant::WeightShape shape = layers::local_slot(slot, rank_).shape;
    const bool moves = slot.experts && rank_.moves_experts;
    if (slot.is_vector()) {
      const auto bytes = static_cast<int64_t>(vector_bytes(shape));
      weights_ += bytes;
      if (moves && spares.insert(spare_kind(slot, shape, nullptr)).second) weights_ += bytes;
      continue;
    }
    const std::vector<PieceSource> pieces = table.pieces(slot, rank_);
    for (const WeightPart& part : weight_parts({source.checkpoint, *backend_, source.options}, slot, shape, pieces)) {
      const auto bytes = static_cast<int64_t>(backend_->weight_bytes(part.shape, *part.format));
      weights_ += bytes;
      ++n_weights_;
      if (moves && spares.insert(spare_kind(slot, shape, part.format)).second) weights_ += bytes;
      for (Matrices* m : {&by_format_[std::string(part.format->name)], &by_use_[use_name(slot.use)]}) {
        m->bytes += bytes;
        const int64_t values = part.shape.groups * part.shape.rows * part.shape.cols;
        m->values += static_cast<double>(values);
        m->bits += 8.0 * static_cast<double>(part.format->bytes_of(values));
      }
      if (slot.use == quant::WeightUse::kExperts) expert_types_[slot.name] = part.format->dtype;
      packed_linear_max_ = std::max(packed_linear_max_, packed_linear_values(slot.use, part.shape, *part.format));
    }
  }
}

int64_t RankMemory::scratch(const backend::StepLimits& limits) const {
  const auto type = [this](size_t layer, size_t block) {
    const std::string prefix =
        absl::StrCat("layer.", rank_.stage.first_layer + layer, ".", local_.layers[layer].ffns[block].role, ".");
    return expert_type(expert_types_.at(prefix + "gate_up"), expert_types_.at(prefix + "down"));
  };
  const StepMemory step =
      step_memory(local_, rank_, limits, {type, packed_linear_max_, backend_->memory_available() < 0});
  return static_cast<int64_t>(step_bytes(local_, step, adapters_, *backend_));
}

int64_t RankMemory::kv_block(const CacheOptions& options) const {
  return static_cast<int64_t>(kvcache::KvCache::block_bytes(*backend_, cache_specs(local_, options)));
}

int64_t RankMemory::state_slot() const {
  return static_cast<int64_t>(kvcache::KvCache::state_bytes(cache_specs(local_, {})));
}

int64_t RankMemory::graphs(const backend::StepLimits& limits, const LoadOptions& options) const {
  constexpr int64_t kLayerBytes = 40 << 10;  // some ten launches of a layer, 4 KiB each: not measured
  const int rows_max = graph_rows_max(local_, options, *backend_, limits);
  return rows_max > 0 ? GraphCapture::count(rows_max) * n_caches() * kLayerBytes : 0;
}

int graph_rows_max(const ModelConfig& config, const LoadOptions& options, const backend::Backend& backend,
                   const backend::StepLimits& limits) {
  const auto captured = [](const LayerConfig& layer) {
    return layers::cache(layer.attention).kind == kvcache::CacheKind::kPaged &&
           std::all_of(layer.ffns.begin(), layer.ffns.end(), [](const FfnConfig& ffn) { return ffn.by_token(); });
  };
  const bool fits = options.capture_graphs && backend.captures_graphs() &&
                    std::all_of(config.layers.begin(), config.layers.end(), captured);
  const int logit_rows = limits.logit_rows_max > 0 ? limits.logit_rows_max : limits.tokens_max;
  return fits ? std::min({limits.seqs_max, limits.tokens_max, logit_rows}) : 0;
}

std::vector<kvcache::CacheSpec> cache_specs(const ModelConfig& config, const CacheOptions& options) {
  std::vector<kvcache::CacheSpec> specs;
  for (const auto& layer : config.layers) {
    specs.push_back(layers::cache(layer.attention));
    specs.back().paged.block_size = options.block_size;
    specs.back().paged.dtype = options.type.dtype;
    specs.back().paged.packing = options.type.packing;
  }
  return specs;
}

}  // namespace polymath::model
