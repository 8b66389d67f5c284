// How a TransformerModel is put together: weights into layers, scratch for the largest step.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/rope.h"
#include "model/transformer.h"
#include "routing/router.h"
#include "routing/validate.h"

namespace polymath::model {

using tensor::DType;
using tensor::Tensor;

TransformerModel::TransformerModel(const ModelConfig& config, backend::Backend& backend, const LoadOptions& options,
                                   WeightStore store)
    : config_(config),
      backend_(backend),
      options_(options),
      store_(std::move(store)),
      act_(backend.activation_dtype(options.dtype)) {}

absl::StatusOr<const float*> TransformerModel::rope_of(const RopeConfig& rope) {
  if (rope.dims == 0) return nullptr;
  for (const auto& [known, buffer] : rope_tables_) {
    if (known == rope) return static_cast<const float*>(buffer.data());
  }
  const int len = options_.model_len > 0 ? options_.model_len : config_.positions_max;
  const auto table = rope_table(rope, len, config_.positions_max);
  ASSIGN_OR_RETURN(auto buffer, backend_.allocate(table.size() * sizeof(float)));
  backend_.copy_in({DType::kF32, {static_cast<int64_t>(table.size())}, buffer.data()}, table.data());
  rope_tables_.emplace_back(rope, std::move(buffer));
  return static_cast<const float*>(rope_tables_.back().second.data());
}

absl::Status TransformerModel::build() {
  embed_ = store_.take("embed");
  if (!config_.tied_embeddings) lm_head_ = store_.take("lm_head");
  layers_.resize(config_.layers.size());
  RETURN_IF_ERROR(allocate_load());
  for (size_t l = 0; l < layers_.size(); ++l) RETURN_IF_ERROR(build_layer(static_cast<int>(l)));
  return absl::OkStatus();
}

absl::Status TransformerModel::build_layer(int index) {
  Layer& layer = layers_[index];
  const std::string p = absl::StrCat("layer.", index, ".");
  const auto vector = [&](const char* name) { return store_.vector(p + name); };
  layer.attn_norm = vector("attn_norm");
  layer.attn_norm_bias = vector("attn_norm_bias");
  layer.ffn_norm = vector("ffn_norm");
  layer.ffn_norm_bias = vector("ffn_norm_bias");
  layer.qkv_bias = vector("qkv_bias");
  layer.attn_out_bias = vector("attn_out_bias");
  layer.q_norm = vector("q_norm");
  layer.k_norm = vector("k_norm");
  layer.sinks = vector("sinks");
  layer.q_a_norm = vector("q_a_norm");
  layer.kv_a_norm = vector("kv_a_norm");
  const std::pair<const char*, quant::Weight*> matrices[] = {
      {"qkv", &layer.qkv}, {"q_kv_a", &layer.qkv},    {"q_a_kv_a", &layer.qkv},      {"attn_out", &layer.attn_out},
      {"q_b", &layer.q_b}, {"key_up", &layer.key_up}, {"value_up", &layer.value_up},
  };
  for (const auto& [name, weight] : matrices) {
    if (store_.has(p + name)) *weight = store_.take(p + name);
  }
  ASSIGN_OR_RETURN(layer.cos_sin, rope_of(config_.layers[index].attention.rope));
  for (const FfnConfig& ffn : config_.layers[index].ffns) RETURN_IF_ERROR(build_ffn(p + ffn.role + ".", ffn, layer));
  join_shared(layer);
  return absl::OkStatus();
}

// A network that every token visits runs with the routed ones before it, and its gate with their router.
void TransformerModel::join_shared(Layer& layer) {
  for (size_t i = 1; i < layer.ffns.size(); ++i) {
    moe::MoeLayer &before = *layer.ffns[i - 1], &it = *layer.ffns[i];
    const auto routes = [](const moe::MoeLayer& m) {
      return m.routed == moe::Routed::kTokenWise && m.by_token() && !m.router.empty();
    };
    const bool gated = routes(it) && it.config.n_experts == 1;
    if (!routes(before) || before.joined || (!gated && it.routed != moe::Routed::kOneExpert)) continue;
    if (gated) it.routed = moe::Routed::kGated;
    it.joined = true;
    before.shared = &it;
  }
}

absl::Status TransformerModel::build_ffn(const std::string& p, const FfnConfig& ffn, Layer& layer) {
  auto m = std::make_unique<moe::MoeLayer>();
  m->config = ffn.router;
  m->capacity_factor = ffn.capacity_factor;
  m->slots = ffn.slots;
  if (!ffn.routing.empty()) {
    const routing::Router* router = routing::find_router(ffn.routing);
    m->routed = ffn.routing == "expert_choice" ? moe::Routed::kExpertChoice
                : ffn.routing == "soft_moe"    ? moe::Routed::kSoft
                                               : moe::Routed::kTokenWise;
    if (m->routed == moe::Routed::kTokenWise) {
      if (router == nullptr)
        return absl::UnimplementedError(absl::StrCat("routing \"", ffn.routing, "\" is not known"));
      RETURN_IF_ERROR(routing::validate(*router, ffn.router));
      m->route = router->route;
    }
    if (m->routed == moe::Routed::kSoft) {
      const size_t bytes = static_cast<size_t>(ffn.router.n_experts) * ffn.slots * config_.hidden * sizeof(float);
      ASSIGN_OR_RETURN(m->slot_inputs, backend_.allocate(bytes));
      ASSIGN_OR_RETURN(m->slot_outputs, backend_.allocate(bytes));
    }
    if (store_.has(p + "router")) m->router = store_.take(p + "router");
    m->router_bias = store_.vector(p + "router_bias");
    m->selection_bias = store_.vector(p + "selection_bias");
  }
  m->gate_up = store_.take(p + "gate_up");
  m->down = store_.take(p + "down");
  m->mlp = {&m->gate_up,
            &m->down,
            store_.vector(p + "gate_up_bias"),
            store_.vector(p + "down_bias"),
            ffn.glu,
            ffn.weight_on_input,
            config_.residual_scale};
  if (ffn.router.n_experts > 1) {
    m->load = {DType::kI64, {ffn.router.n_experts}, static_cast<int64_t*>(load_.data()) + load_host_.size()};
    load_host_.resize(load_host_.size() + static_cast<size_t>(ffn.router.n_experts));
  }
  layer.ffns.push_back(std::move(m));
  return absl::OkStatus();
}

absl::Status TransformerModel::allocate_load() {
  int64_t experts = 0;
  for (const auto& layer : config_.layers) {
    for (const FfnConfig& ffn : layer.ffns) experts += ffn.router.n_experts > 1 ? ffn.router.n_experts : 0;
  }
  if (experts == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(load_, backend_.allocate(static_cast<size_t>(experts) * sizeof(int64_t)));
  return absl::OkStatus();
}

void TransformerModel::read_load() const {
  if (load_host_.empty()) return;
  const Tensor all{DType::kI64, {static_cast<int64_t>(load_host_.size())}, load_.data()};
  backend_.copy_out(load_host_.data(), all);
}

int64_t TransformerModel::load_begin(const moe::MoeLayer& ffn) const {
  return ffn.load.as<int64_t>() - static_cast<int64_t*>(load_.data());
}

std::vector<backend::KvShape> TransformerModel::kv_shapes(int block_size, DType dtype) const {
  std::vector<backend::KvShape> shapes;
  for (const auto& layer : config_.layers) {
    const auto& a = layer.attention;
    if (a.kv_lora > 0) {
      shapes.push_back({1, a.kv_lora + a.rope.dims, a.kv_lora, true, block_size, 0, dtype});
    } else {
      shapes.push_back({a.n_kv_heads, a.head_dim, a.head_dim, false, block_size, 0, dtype});
    }
  }
  return shapes;
}

namespace {

// Widths of the widest layer.
struct Widths {
  int64_t qkv = 0, q = 1, q_full = 1, attention = 0, latent_out = 1, intermediate = 0, top_k = 1;
  int64_t logits = 1;  // of a router: its experts, or all their slots
};

Widths widths(const ModelConfig& config, backend::StepLimits& limits) {
  Widths w;
  for (const auto& layer : config.layers) {
    const auto& a = layer.attention;
    const int64_t heads = a.n_heads, key_dim = a.kv_lora > 0 ? a.kv_lora + a.rope.dims : a.head_dim;
    const int64_t value_dim = a.kv_lora > 0 ? a.kv_lora : a.head_dim;
    const int64_t q = heads * a.head_dim;
    if (a.kv_lora > 0) {
      w.qkv = std::max(w.qkv, (a.q_lora > 0 ? a.q_lora : q) + key_dim);
    } else {
      w.qkv = std::max(w.qkv, q + 2 * static_cast<int64_t>(a.n_kv_heads) * a.head_dim);
    }
    if (a.q_lora > 0) w.q = std::max(w.q, q);
    w.attention = std::max(w.attention, heads * (a.kv_lora > 0 ? a.value_dim : a.head_dim));
    if (a.kv_lora > 0) {
      w.q_full = std::max(w.q_full, heads * key_dim);
      w.latent_out = std::max(w.latent_out, heads * value_dim);
    }
    limits.attention_max = std::max(limits.attention_max, heads * std::max(key_dim, value_dim));
    limits.key_dim_max = std::max(limits.key_dim_max, static_cast<int>(key_dim));
    for (const auto& f : layer.ffns) {
      w.intermediate = std::max<int64_t>(w.intermediate, f.intermediate);
      w.top_k = std::max<int64_t>(w.top_k, f.router.top_k);
      w.logits = std::max<int64_t>(w.logits, static_cast<int64_t>(f.router.n_experts) * std::max(1, f.slots));
    }
  }
  limits.intermediate_max = w.intermediate;
  limits.pairs_max = std::max(limits.tokens_max * w.top_k, w.logits);
  limits.hidden_max = std::max({static_cast<int64_t>(config.hidden), w.qkv, w.attention, w.q, w.q_full, w.latent_out});
  return w;
}

}  // namespace

absl::Status TransformerModel::reserve(const backend::StepLimits& given) {
  CHECK(limits_.tokens_max == 0 && given.tokens_max >= 1 && given.seqs_max >= 1 && given.blocks_max >= 1);
  limits_ = given;
  if (limits_.logit_rows_max == 0) limits_.logit_rows_max = limits_.tokens_max;
  limits_.logits_max = static_cast<int64_t>(limits_.logit_rows_max) * config_.vocab;
  limits_.expert_io_max = config_.hidden;
  const Widths w = widths(config_, limits_);
  for (const Layer& layer : layers_) {
    for (const auto& f : layer.ffns) limits_.experts.push_back(f->expert_shape(limits_.tokens_max));
  }
  const auto make = [&](tensor::Buffer& buffer, int64_t elements) -> absl::Status {
    ASSIGN_OR_RETURN(buffer, backend_.allocate(static_cast<size_t>(elements) * 4));
    return absl::OkStatus();
  };
  const int64_t n = limits_.tokens_max;
  auto& b = act_buffers_;
  const std::pair<tensor::Buffer*, int64_t> sizes[] = {
      {&b.h, n * config_.hidden},
      {&b.gathered, n * config_.hidden},
      {&b.x, n * config_.hidden},
      {&b.qkv, n * w.qkv},
      {&b.q, n * w.q},
      {&b.q_full, n * w.q_full},
      {&b.attention, n * w.attention},
      {&b.latent_out, n * w.latent_out},
      {&b.logits, limits_.logit_rows_max * config_.vocab},
      {&b.gathered_tokens, n},
      {&b.sampled, limits_.logit_rows_max},
  };
  for (const auto& [buffer, elements] : sizes) RETURN_IF_ERROR(make(*buffer, elements));
  ASSIGN_OR_RETURN(inputs_, StepInputs::create(backend_, limits_, query_temperature()));
  ASSIGN_OR_RETURN(moe_scratch_, moe::MoeScratch::create(backend_, n, limits_.pairs_max, w.logits));
  return backend_.reserve(limits_);
}

absl::Status TransformerModel::attach(const kvcache::KvCache& cache) {
  CHECK(cache_ == nullptr && limits_.tokens_max > 0);
  cache_ = &cache;
  return capture_steps();
}

std::vector<Model::ExpertLoad> TransformerModel::expert_load() const {
  std::vector<ExpertLoad> out;
  read_load();
  for (size_t l = 0; l < layers_.size(); ++l) {
    for (const auto& f : layers_[l].ffns) {
      if (f->load.empty()) continue;
      const auto n = static_cast<size_t>(f->config.n_experts);
      out.push_back({static_cast<int>(l), {load_host_.data() + load_begin(*f), n}});
    }
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Transformer>> load_model(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                        backend::Backend& backend, const LoadOptions& options) {
  ASSIGN_OR_RETURN(WeightStore store, load_weights(config, checkpoint, backend, options));
  auto model = std::make_unique<TransformerModel>(config, backend, options, std::move(store));
  RETURN_IF_ERROR(model->build());
  return model;
}

}  // namespace polymath::model
