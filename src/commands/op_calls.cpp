#include "commands/op_calls.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "layers/attention.h"

namespace polymath::commands {

using backend::OpCall;

namespace {

// For pointers that only have to be non-null: choosing a kernel never reads through them.
alignas(16) constexpr float kPresent = 0;

bool routes_by_token(const layers::FfnConfig& f) {
  return routing::find_router(f.routing) != nullptr && f.capacity_factor <= 0;
}
bool has_logits(const layers::FfnConfig& f) { return f.routing != "hash"; }

// As layers::MoeLayer::join_to: a block of one expert runs in the launch of the routed block before it.
bool joins(const layers::FfnConfig& before, const layers::FfnConfig& f) {
  const bool one = f.routing.empty() || (routes_by_token(f) && has_logits(f) && f.router.n_experts == 1);
  return routes_by_token(before) && has_logits(before) && one;
}

}  // namespace

CallTypes call_types(const Runtime& runtime) {
  const backend::Backend& b = runtime.backend();
  const quant::QuantFormat& stored = quant::plain_format(runtime.config().dtype);
  return {.weights = runtime.weight_dtype(),
          .router = b.kept_format(stored, quant::WeightUse::kRouter, runtime.weight_dtype()).dtype,
          .kv = runtime.kv_type(),
          .block_size = runtime.block_size(),
          .packed = runtime.packed_format()};
}

std::string step_text(const StepShape& step) {
  if (step.queries == 1) return absl::StrCat("decode of ", step.n_seqs);
  return step.n_seqs > 1 ? absl::StrCat("prefill of ", step.n_seqs, " x ", step.queries)
                         : absl::StrCat("prefill of ", step.queries);
}

OpCall CallMaker::call(std::string_view op) const {
  OpCall c;
  c.op = op;
  c.tokens = static_cast<int>(step_.tokens()), c.seqs = step_.n_seqs, c.keys_most = step_.context;
  c.weight_dtype = types_.weights;
  return c;
}

OpCall CallMaker::linear(const quant::WeightShape& weight, bool accumulate) const {
  OpCall c = call(weight.groups > 1 ? "batched_linear" : "linear");
  c.weight = weight;
  if (weight.groups == 1 && fits_blocks(weight.cols)) c.packed = types_.packed;
  c.epilogue.accumulate = accumulate;
  return c;
}

OpCall CallMaker::attention(const backend::AttentionParams& params, backend::KvShape kv) const {
  OpCall c = call("attention");
  kv.block_size = types_.block_size;
  kv.dtype = types_.kv.dtype;
  kv.packing = types_.kv.packing;
  c.attention = params;
  c.kv = kv;
  return c;
}

OpCall CallMaker::route(const layers::FfnConfig& ffn, int64_t hidden) const {
  OpCall c = call("route_experts");
  c.router = ffn.router;
  c.route = routing::find_router(ffn.routing)->route;
  c.router_dtype = types_.router;
  c.has_router = has_logits(ffn);
  c.experts = expert_shape(ffn, hidden);
  return c;
}

backend::ExpertShape CallMaker::expert_shape(const layers::FfnConfig& ffn, int64_t hidden) const {
  const bool packed = fits_blocks(hidden) && fits_blocks(ffn.intermediate);
  return ffn.expert_shape(step_.tokens(), hidden, packed ? tensor::DType::kU8 : types_.weights);
}

bool CallMaker::fits_blocks(int64_t cols) const {
  return types_.packed != nullptr && cols % types_.packed->block_cols == 0;
}

OpCall CallMaker::experts(const layers::FfnConfig& ffn, int64_t hidden) const {
  OpCall c = call("expert_mlp");
  c.packed = types_.packed;
  c.router = ffn.router;
  c.experts = expert_shape(ffn, hidden);
  c.mlp.glu = ffn.glu;
  c.mlp.weight_on_input = ffn.weight_on_input;
  if (ffn.expert_bias) c.mlp.gate_up_bias = c.mlp.down_bias = &kPresent;
  return c;
}

// A model's calls, each listed once.
class CallList {
 public:
  CallList(const CallTypes& types, const StepShape& step) : make_(types, step) {}

  void add(std::string what, const OpCall& call) {
    if (seen_.insert(absl::StrCat(std::string(call.op), " ", what)).second) calls_.push_back({std::move(what), call});
  }
  void add_slots(const layers::AttentionConfig& attention, int64_t hidden) {
    layers::SlotList slots;
    layers::add_slots(attention, slots, hidden);
    for (const layers::Slot& slot : slots.list) {
      if (!slot.is_vector()) add_linear(slot.name, slot.shape, slot.shape.rows == hidden);
    }
  }
  void add_linear(const std::string& name, const quant::WeightShape& shape, bool accumulate) {
    // prepare_latent includes the GEMM with key_up.
    if (name == "key_up") return;
    add(absl::StrCat(name, " ", shape.rows, " x ", shape.cols), make_.linear(shape, accumulate));
  }
  void add_attention(const layers::GroupedQuery& a) {
    OpCall c = make_.attention(a.params(), a.cache().paged);
    c.op = "attention_of_qkv";
    c.qkv = a.qkv_params();
    if (a.rope.dims > 0) c.qkv.rope.cos_sin = &kPresent;
    add(a.text(), c);
    add_composed(a, c);
  }
  void add_attention(const layers::Latent& a) {
    OpCall c = make_.attention(a.params(), a.cache().paged);
    c.latent = a.latent_params();
    c.latent.kv_norm = &kPresent;
    c.weight = {.groups = a.n_heads, .rows = a.kv_lora, .cols = a.nope_dim};
    c.op = "prepare_latent";
    add(a.text(), c);
    c.op = "attention";
    add(a.text(), c);
  }
  // The other kinds are composed of primitives.
  template <class Kind>
  void add_attention(const Kind&) {}

  void add_blocks(const std::vector<layers::FfnConfig>& blocks, int64_t hidden) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      const bool shared = i + 1 < blocks.size() && joins(blocks[i], blocks[i + 1]);
      add_block(blocks[i], shared ? &blocks[i + 1] : nullptr, hidden);
      if (shared) ++i;
    }
  }
  std::vector<NamedCall> take() { return std::move(calls_); }

 private:
  // The ops that attention_of_qkv's default composition runs.
  void add_composed(const layers::GroupedQuery& a, OpCall c) {
    c.op = "prepare_qkv";
    add(a.text(), c);
    c.op = "attention";
    add(a.text(), c);
  }
  void add_block(const layers::FfnConfig& f, const layers::FfnConfig* shared, int64_t hidden) {
    if (!f.routing.empty() && !routes_by_token(f)) return;  // on the host
    if (!f.routing.empty()) {
      OpCall c = make_.route(f, hidden);
      if (shared != nullptr && !shared->routing.empty()) {
        c.gate = routing::find_router(shared->routing)->route;
        c.gate_router = shared->router;
      }
      add(absl::StrCat("top ", f.router.top_k, " of ", f.router.n_experts, ", ", f.routing), c);
    }
    OpCall c = make_.experts(f, hidden);
    std::string what = f.router.n_experts > 1 ? absl::StrCat(f.router.n_experts, " ", f.role, " of ", f.intermediate)
                                              : absl::StrCat(f.role, " of ", f.intermediate);
    if (shared != nullptr) {
      c.op = "expert_mlp_with_shared";
      c.shared = make_.expert_shape(*shared, hidden);
      absl::StrAppend(&what, " + ", shared->role, " of ", shared->intermediate);
    }
    add(std::move(what), c);
  }

  const CallMaker make_;
  std::set<std::string> seen_;
  std::vector<NamedCall> calls_;
};

std::vector<NamedCall> op_calls(const model::ModelConfig& config, const CallTypes& types, const StepShape& step) {
  CallList list(types, step);
  for (const auto& layer : config.layers) {
    list.add_slots(layer.attention, config.hidden);
    std::visit([&](const auto& kind) { list.add_attention(kind); }, layer.attention);
    list.add_blocks(layer.ffns, config.hidden);
  }
  StepShape logits = step;
  logits.queries = 1;
  list.add(absl::StrCat("lm_head ", config.vocab, " x ", config.hidden),
           CallMaker(types, logits).linear({.rows = config.vocab, .cols = config.hidden}, false));
  return list.take();
}

absl::Status require_fused(const Runtime& runtime) {
  backend::Backend& b = runtime.backend();
  std::vector<std::string> composed;
  for (const NamedCall& c : op_calls(runtime.config(), call_types(runtime), {})) {
    const auto names = b.kernels_for(c.call);
    if (names.empty() || names.front() != backend::kComposition) continue;
    const std::string op(c.call.op);
    if (std::find(composed.begin(), composed.end(), op) == composed.end()) composed.push_back(op);
  }
  if (composed.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "--require-fused: the ", std::string(b.name()), " backend would run these ops on their default composition: ",
      absl::StrJoin(composed, ", "), "; `polymath kernels MODEL` shows what fits"));
}

}  // namespace polymath::commands
