#include "backend/cuda/queries.h"

#include <algorithm>

#include "backend/cuda/attention/kv_of.h"

namespace polymath::backend::cuda {
namespace {

using Names = std::vector<std::string_view>;

// The variant that would run first: it may be a forced one.
template <class Families, class Problem>
Names names_of(Families& family, const Problem& problem) {
  Names names = family.fitting(problem);
  const auto chosen = std::find(names.begin(), names.end(), family.choose(problem).name);
  std::rotate(names.begin(), chosen, chosen + 1);
  return names;
}

Matrix matrix(int64_t rows, int64_t cols, Type type) { return {nullptr, rows, cols, cols, type}; }
Type act_of(DType weights) { return weights == DType::kBf16 ? Type::kBf16 : Type::kF32; }
Weight weight_of(const WeightShape& shape, DType dtype, const quant::QuantFormat* packed = nullptr) {
  return {packed != nullptr ? packed : &quant::plain_format(dtype), shape, {}, {}, {}};
}

Names linear(const OpCall& c, const OpFamilies& f) {
  const Weight w = weight_of(c.weight, c.weight_dtype, c.packed);
  const int64_t groups = c.weight.groups, x_cols = c.weight.cols, y_cols = c.weight.rows;
  const Linear l{.x = matrix(c.tokens, groups * x_cols, act_of(c.weight_dtype)),
                 .y = matrix(c.tokens, groups * y_cols, Type::kF32),
                 .w = weight_matrix(w),
                 .epilogue = c.epilogue,
                 .x_group_stride = groups > 1 ? x_cols : 0,
                 .y_group_stride = groups > 1 ? y_cols : 0};
  return names_of(f.linear.family(l.w), f.linear.problem_of(l));
}

AttentionProblem attention_problem(const OpCall& c, const OpFamilies& f) {
  AttentionProblem p;
  p.params = c.attention;
  p.q = matrix(c.tokens, int64_t{c.attention.n_heads} * c.kv.key_dim, Type::kF32);
  p.out = matrix(c.tokens, int64_t{c.attention.n_heads} * c.kv.value_dim, act_of(c.weight_dtype));
  p.kv = kv_of({c.kv, nullptr});
  p.n_tokens = c.tokens, p.n_seqs = c.seqs, p.keys_most = c.keys_most;
  p.n_multiprocessors = f.n_multiprocessors;
  return p;
}

QkvPrologue qkv_problem(const OpCall& c) {
  const QkvParams& q = c.qkv;
  return {.params = q,
          .qkv = matrix(c.tokens, (int64_t{q.n_heads} + 2 * q.n_kv_heads) * q.head_dim, Type::kF32),
          .kv = kv_of({c.kv, nullptr})};
}

Names attention(const OpCall& c, const OpFamilies& f) {
  return names_of(f.attention.attention, AttentionCall{attention_problem(c, f)});
}
Names attention_of_qkv(const OpCall& c, const OpFamilies& f) {
  return names_of(f.attention.attention_of_qkv, AttentionOfQkvCall{{attention_problem(c, f), qkv_problem(c)}});
}
Names prepare_qkv(const OpCall& c, const OpFamilies& f) {
  return names_of(f.attention.prepare_qkv, QkvPrologueCall{qkv_problem(c)});
}

Names prepare_latent(const OpCall& c, const OpFamilies& f) {
  const LatentParams& p = c.latent;
  const Weight key_up = weight_of(c.weight, c.weight_dtype);
  const int64_t head = p.nope_dim + p.rope.dims, key = p.kv_lora + p.rope.dims;
  LatentPrologueCall call;
  call.prologue = {.params = p,
                   .q = matrix(c.tokens, p.n_heads * head, Type::kF32),
                   .k = matrix(c.tokens, key, Type::kF32),
                   .q_full = matrix(c.tokens, p.n_heads * key, Type::kF32),
                   .kv = kv_of({c.kv, nullptr})};
  call.key_up = {call.prologue.q, call.prologue.q_full, weight_matrix(key_up), head, key};
  return names_of(f.attention.prepare_latent, call);
}

Names route_experts(const OpCall& c, const OpFamilies& f) {
  const int64_t hidden = c.experts.hidden;
  const Weight router = weight_of({.rows = c.router.n_experts, .cols = hidden}, c.router_dtype);
  const Weight gate = weight_of({.rows = 1, .cols = hidden}, c.router_dtype);
  RouteExperts params{.config = c.router, .route = c.route}, gate_params;
  if (c.has_router) params.router = &router;
  if (c.gate != nullptr) {
    gate_params = {.router = &gate, .config = c.gate_router, .route = c.gate};
    params.gate = &gate_params;
  }
  const DType act = c.weight_dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  return names_of(f.routing.route_experts, route_layer_call(params, {act, {c.tokens, hidden}, nullptr}));
}

// A visit of networks that have no memory.
struct NoVisit {
  Weight gate_up, down;
  ExpertMlp mlp;
  ExpertVisit visit;

  NoVisit(const OpCall& call, const ExpertShape& s, const ExpertMlp& like, int64_t top_k)
      : gate_up(weight_of({.groups = s.groups, .rows = 2 * s.intermediate, .cols = s.hidden, .glu = true}, s.dtype,
                          s.dtype == DType::kU8 ? call.packed : nullptr)),
        down(weight_of({.groups = s.groups, .rows = s.hidden, .cols = s.intermediate}, s.dtype,
                       s.dtype == DType::kU8 ? call.packed : nullptr)),
        mlp(like) {
    const int64_t tokens = call.tokens;
    mlp.gate_up = &gate_up, mlp.down = &down;
    visit.mlp = &mlp;
    visit.routing.ids = {DType::kI32, {tokens, top_k}, nullptr};
    visit.routing.weights = {DType::kF32, {tokens, top_k}, nullptr};
  }
};

Names expert_mlp(const OpCall& c, const OpFamilies& f) {
  const NoVisit group(c, c.experts, c.mlp, c.router.top_k), shared(c, c.shared, {.glu = c.mlp.glu}, 1);
  const DType act = c.weight_dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
  const Tensor x{act, {c.tokens, c.experts.hidden}, nullptr}, out{DType::kF32, {c.tokens, c.experts.hidden}, nullptr};
  const bool with_shared = c.op == "expert_mlp_with_shared";
  const ExpertCall call = f.experts.call_of(group.visit, with_shared ? &shared.visit : nullptr, x, out);
  return names_of(f.experts.family(call), call);
}

struct Row {
  std::string_view op;
  Names (*names)(const OpCall&, const OpFamilies&);
};
constexpr Row kRows[] = {
    {"linear", linear},
    {"batched_linear", linear},
    {"attention", attention},
    {"attention_of_qkv", attention_of_qkv},
    {"prepare_qkv", prepare_qkv},
    {"prepare_latent", prepare_latent},
    {"route_experts", route_experts},
    {"expert_mlp", expert_mlp},
    {"expert_mlp_with_shared", expert_mlp},
};

}  // namespace

std::vector<OpFamily*> all_families(const OpFamilies& f) {
  const auto linear = f.linear.families();
  const auto experts = f.experts.families();
  std::vector<OpFamily*> all(linear.begin(), linear.end());
  all.insert(all.end(), {&f.attention.attention, &f.attention.attention_of_qkv, &f.attention.prepare_qkv,
                         &f.attention.prepare_latent, &f.routing.route_experts});
  all.insert(all.end(), experts.begin(), experts.end());
  return all;
}

std::vector<std::string_view> kernels_for(const OpCall& call, const OpFamilies& families) {
  for (const Row& row : kRows) {
    if (row.op == call.op) return row.names(call, families);
  }
  return {};
}

}  // namespace polymath::backend::cuda
