// The reference backend against values computed by hand. Other backends are tested against the reference.

#include "backend/reference/reference_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/backend.h"
#include "backend/test_values.h"
#include "routing/list.h"

namespace polymath::backend {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;
using Floats = std::vector<float>;
using Ints = std::vector<int32_t>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const float kLog2 = std::log(2.0f), kLog3 = std::log(3.0f);

Tensor matrix(Floats& values, int64_t cols) {
  return {DType::kF32, {static_cast<int64_t>(values.size()) / cols, cols}, values.data()};
}

class ReferenceBackendTest : public testing::Test {
 protected:
  // `values`: [groups * rows, cols].
  Weight weight(const WeightShape& shape, const Floats& values, DType dtype = DType::kF32) {
    Weight made = backend_->make_weight(shape, quant::plain_format(dtype)).value();
    for (int64_t g = 0; g < shape.groups; ++g) {
      const auto* begin = reinterpret_cast<const std::byte*>(values.data() + g * shape.rows * shape.cols);
      backend_->fill_weight(made, g, 0, {&quant::kF32, begin, shape.rows, shape.cols, shape.cols, 1});
    }
    return made;
  }

  std::unique_ptr<Backend> backend_ = make_reference_backend({}).value();
};

MATCHER_P(Near, expected, "") { return testing::Value(arg, Pointwise(FloatNear(1e-5f), Floats(expected))); }

TEST_F(ReferenceBackendTest, Embed) {
  const Weight table = weight({.rows = 3, .cols = 2}, {1, 2, 3, 4, 5, 6});
  Ints ids = {2, 0, -1};
  Floats y(6, 9);
  backend_->embed(table, ints(ids), 2, matrix(y, 2));
  EXPECT_THAT(y, ElementsAre(10, 12, 2, 4, 0, 0));
}

TEST_F(ReferenceBackendTest, Norm) {
  const Floats weights = {2, 3}, bias = {1, 1};
  const struct {
    const char* what;
    NormParams params;
    Floats x, y;
  } cases[] = {
      {"rms", {.eps = 0}, {3, 4}, {3 / std::sqrt(12.5f), 4 / std::sqrt(12.5f)}},
      {"rms, weighted", {.eps = 0, .weight = weights.data()}, {3, 4}, {6 / std::sqrt(12.5f), 12 / std::sqrt(12.5f)}},
      {"rms, eps", {.eps = 3}, {1, 1}, {0.5f, 0.5f}},
      {"rms, two heads", {.eps = 0, .segments = 2}, {1, 1, 5, -5}, {1, 1, 1, -1}},
      {"layer", {.kind = NormKind::kLayer, .eps = 0}, {3, 4}, {-1, 1}},
      {"layer, weighted",
       {.kind = NormKind::kLayer, .eps = 0, .weight = weights.data(), .bias = bias.data()},
       {3, 4},
       {-1, 4}},
  };
  for (const auto& c : cases) {
    Floats x = c.x;
    const Tensor in_place = matrix(x, static_cast<int64_t>(x.size()));
    backend_->norm(c.params, in_place, in_place);
    EXPECT_THAT(x, Near(c.y)) << c.what;
  }
}

TEST_F(ReferenceBackendTest, Linear) {
  const Weight w = weight({.rows = 2, .cols = 2}, {1, 0, 3, 4});
  const Floats bias = {1, -1};
  const struct {
    const char* what;
    LinearEpilogue epilogue;
    Floats y;
  } cases[] = {
      {"plain", {}, {1, 11}},
      {"bias", {.bias = bias.data()}, {2, 10}},
      {"clamp after the bias", {.bias = bias.data(), .clamp = 5}, {2, 5}},
      {"scale after the clamp", {.bias = bias.data(), .scale = 2, .clamp = 5}, {4, 10}},
      {"accumulate", {.accumulate = true, .scale = 2}, {102, 222}},
  };
  for (const auto& c : cases) {
    Floats x = {1, 2}, y = {100, 200};
    backend_->linear(matrix(x, 2), w, c.epilogue, matrix(y, 2));
    EXPECT_EQ(y, c.y) << c.what;
  }
}

TEST_F(ReferenceBackendTest, LinearRoundsInputsToBf16OnlyForBf16Weights) {
  const float x_value = 1 + 0x1p-9f;  // bf16 has 8 bits: rounds to 1
  for (const auto& [dtype, y_value] : {std::pair{DType::kF32, x_value}, {DType::kF16, x_value}, {DType::kBf16, 1.0f}}) {
    const Weight w = weight({.rows = 1, .cols = 1}, {1}, dtype);
    Floats x = {x_value}, y = {0};
    backend_->linear(matrix(x, 1), w, {}, matrix(y, 1));
    EXPECT_EQ(y[0], y_value) << tensor::dtype_name(dtype);
  }
}

TEST_F(ReferenceBackendTest, BatchedLinear) {
  const Weight w = weight({.groups = 2, .rows = 1, .cols = 2}, {1, 1, 1, -1});
  Floats x = {1, 2, 3, 4}, y(2);
  backend_->batched_linear(matrix(x, 4), 2, w, 1, matrix(y, 2));
  EXPECT_THAT(y, ElementsAre(3, -1));
}

TEST_F(ReferenceBackendTest, Rope) {
  // Position 0 rotates nothing. Position 1 rotates the first pair by 90 degrees.
  const Floats pair = {1, 0, 0, 1}, two_pairs = {1, 0, 1, 0, 0, 1, 1, 0};
  const struct {
    const char* what;
    RopeParams params;
    int32_t position;
    Floats x, y;
  } cases[] = {
      {"position 0", {.cos_sin = pair.data(), .dims = 2}, 0, {1, 2}, {1, 2}},
      {"position 1", {.cos_sin = pair.data(), .dims = 2}, 1, {1, 2}, {-2, 1}},
      {"halves", {.cos_sin = two_pairs.data(), .dims = 4}, 1, {1, 2, 3, 4}, {-3, 2, 1, 4}},
      {"interleaved", {.cos_sin = two_pairs.data(), .dims = 4, .interleaved = true}, 1, {1, 2, 3, 4}, {-2, 1, 3, 4}},
      {"part of two heads",
       {.cos_sin = pair.data(), .dims = 2, .heads = 2, .head_stride = 3, .offset = 1},
       1,
       {9, 1, 2, 9, 3, 4},
       {9, -2, 1, 9, -4, 3}},
  };
  for (const auto& c : cases) {
    Floats x = c.x;
    Ints positions = {c.position};
    backend_->rope(c.params, ints(positions), matrix(x, static_cast<int64_t>(x.size())));
    EXPECT_EQ(x, c.y) << c.what;
  }
}

TEST_F(ReferenceBackendTest, CopiesRowsAndHeads) {
  Floats heads = {1, 2, 3, 4, 5, 6}, packed(4);
  backend_->copy_heads({.heads = 2, .width = 2, .from_stride = 3, .to_stride = 2}, matrix(heads, 6), matrix(packed, 4));
  EXPECT_THAT(packed, ElementsAre(1, 2, 4, 5));

  Floats x = {1, 2, 3, 4}, factors = {10, -1};
  backend_->scale_rows(floats_of(factors), matrix(x, 2));
  EXPECT_THAT(x, ElementsAre(10, 20, -3, -4));

  Ints rows = {1, 0, 1};
  Floats y(6);
  backend_->gather_rows(matrix(x, 2), ints(rows), matrix(y, 2));
  EXPECT_THAT(y, ElementsAre(-3, -4, 10, 20, -3, -4));
}

struct AttentionRow {
  const char* what;
  AttentionParams params;
  KvShape shape;
  Floats keys, values, query, out;
};

// The last token's output, for one sequence in blocks 2, 0, 1 of two tokens.
Floats attend_last(Backend& backend, AttentionRow row) {
  KvShape& shape = row.shape;
  shape.block_size = 2;
  shape.n_blocks = 3;
  const Buffer memory = backend.allocate(backend.kv_block_bytes(shape) * 3).value();
  const KvLayer kv{shape, memory.data()};
  const int64_t key_cols = int64_t{shape.n_kv_heads} * shape.key_dim;
  const int n = static_cast<int>(static_cast<int64_t>(row.keys.size()) / key_cols);
  Ints all_slots = {4, 5, 0, 1, 2, 3}, slots(all_slots.begin(), all_slots.begin() + n);
  Tensor v;
  if (!shape.latent) v = matrix(row.values, int64_t{shape.n_kv_heads} * shape.value_dim);
  backend.kv_write(kv, matrix(row.keys, key_cols), v, ints(slots));

  Ints positions = {n - 1}, own_slot = {slots.back()}, query_start = {0, 1}, kv_len = {n}, blocks = {2, 0, 1};
  StepLayout layout{.n_tokens = 1,
                    .n_seqs = 1,
                    .positions = ints(positions),
                    .slots = ints(own_slot),
                    .query_start = ints(query_start),
                    .kv_len = ints(kv_len),
                    .block_table = {DType::kI32, {1, 3}, blocks.data()}};
  Floats out(row.params.n_heads * shape.value_dim);
  backend.attention(row.params, matrix(row.query, static_cast<int64_t>(row.query.size())), kv, layout,
                    matrix(out, static_cast<int64_t>(out.size())));
  return out;
}

TEST_F(ReferenceBackendTest, Attention) {
  const KvShape one{.n_kv_heads = 1, .key_dim = 1, .value_dim = 1};
  const KvShape two{.n_kv_heads = 2, .key_dim = 1, .value_dim = 1};
  const KvShape latent{.n_kv_heads = 1, .key_dim = 2, .value_dim = 1, .latent = true};
  const Floats sinks = {0};
  const AttentionRow cases[] = {
      {"one key", {.n_heads = 1}, one, {5}, {10}, {1}, {10}},
      {"equal keys", {.n_heads = 1}, one, {0, 0, 0, 0, 0}, {10, 20, 30, 40, 50}, {1}, {30}},
      {"weights 3 : 1", {.n_heads = 1}, one, {1, 0}, {10, 30}, {kLog3}, {15}},
      {"scale", {.n_heads = 1, .scale = 0.5f}, one, {2, 0}, {10, 30}, {kLog3}, {15}},
      {"window", {.n_heads = 1, .window = 2}, one, {0, 0, 0, 0, 0}, {10, 20, 30, 40, 50}, {1}, {45}},
      {"chunk", {.n_heads = 1, .chunk = 4}, one, {0, 0, 0, 0, 0}, {10, 20, 30, 40, 50}, {1}, {50}},
      {"sink", {.n_heads = 1, .sinks = sinks.data()}, one, {0}, {10}, {1}, {5}},
      {"two queries a kv head", {.n_heads = 2}, one, {1, 0}, {10, 30}, {0, kLog3}, {20, 15}},
      {"two kv heads", {.n_heads = 2}, two, {0, 1, 0, 0}, {1, 10, 3, 30}, {7, kLog3}, {2, 15}},
      {"latent: values are in the keys", {.n_heads = 1}, latent, {10, 1, 30, 0}, {}, {0, kLog3}, {15}},
      {"large scores", {.n_heads = 1}, one, {1000, 0}, {10, 30}, {1000}, {10}},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(attend_last(*backend_, c), Near(c.out)) << c.what;
  }
}

TEST_F(ReferenceBackendTest, Route) {
  Floats logits = {0, kLog2, 0, kLog3}, weights(2);  // probabilities 1/3 2/3, then 1/4 3/4
  Ints tokens = {7, 8}, ids(2);
  const routing::Router* router = routing::find_router("softmax_topk");
  backend_->route({.config = {.n_experts = 2, .top_k = 1}, .route = router->route}, matrix(logits, 2), ints(tokens),
                  {{DType::kI32, {2, 1}, ids.data()}, matrix(weights, 1)});
  EXPECT_THAT(ids, ElementsAre(1, 1));
  EXPECT_THAT(weights, Near(Floats{2.0f / 3, 0.75f}));
}

TEST_F(ReferenceBackendTest, GroupByExpert) {
  Ints ids = {1, 0, 0, -1, 1, 2}, offsets(4), pairs(6, -9);  // three tokens, two choices each, one dropped
  Floats weights(6);
  std::vector<int64_t> load = {10, 20, 30, 4, 5, 6};
  backend_->group_by_expert({{DType::kI32, {3, 2}, ids.data()}, matrix(weights, 2)}, 3,
                            {ints(offsets), ints(pairs), {DType::kI64, {2, 3}, load.data()}});
  EXPECT_THAT(offsets, ElementsAre(0, 2, 4, 5));
  pairs.resize(5);
  EXPECT_THAT(pairs, ElementsAre(1, 2, 0, 4, 5));
  EXPECT_THAT(load, ElementsAre(12, 22, 31, 5, 6, 7));
}

TEST_F(ReferenceBackendTest, GroupedLinear) {
  const Weight w = weight({.groups = 2, .rows = 1, .cols = 1}, {2, 3});
  const Floats bias = {100, 200};
  Ints offsets = {0, 1, 2}, pairs = {1, 0};  // expert 0 has token 1, expert 1 token 0
  const ExpertGroups groups{ints(offsets), ints(pairs), {}};
  Floats x = {1, 10}, y(2);
  backend_->grouped_linear({&w, nullptr, &groups, 1, true}, matrix(x, 1), matrix(y, 1));
  EXPECT_THAT(y, ElementsAre(20, 3));
  backend_->grouped_linear({&w, bias.data(), &groups, 1, true}, matrix(x, 1), matrix(y, 1));
  EXPECT_THAT(y, ElementsAre(120, 203));
  backend_->grouped_linear({&w, nullptr, &groups, 1, false}, matrix(x, 1), matrix(y, 1));
  EXPECT_THAT(y, ElementsAre(2, 30)) << "rows are sorted already";
}

TEST_F(ReferenceBackendTest, Glu) {
  const float sigmoid_1 = 1 / (1 + std::exp(-1.0f));
  const GluParams clamp{.kind = GluKind::kSwigluClamp, .limit = 1, .alpha = 1};
  const struct {
    const char* what;
    GluParams params;
    float gate, up, y;
  } cases[] = {
      {"silu of 0", {}, 0, 5, 0},
      {"silu", {}, kLog3, 2, kLog3 * 0.75f * 2},
      {"clamp", clamp, 2, 5, sigmoid_1 * 2},
      {"clamp below", clamp, 1, -5, 0},
      {"gelu of 0", {.kind = GluKind::kGelu}, 0, 5, 0},
      {"gelu of much", {.kind = GluKind::kGelu}, 10, 2, 20},
      {"gelu of little", {.kind = GluKind::kGelu}, -10, 2, 0},
  };
  for (const auto& c : cases) {
    Floats x = {c.gate, c.up}, y(1);
    backend_->glu(c.params, matrix(x, 2), matrix(y, 1));
    EXPECT_NEAR(y[0], c.y, 1e-5) << c.what;
  }
}

TEST_F(ReferenceBackendTest, Combine) {
  Ints ids = {1, 0, 0, -1}, offsets = {0, 2, 3}, pairs = {1, 2, 0, -9};  // as group_by_expert gives them
  Floats weights = {0.5f, 0.25f, 1, 7}, y = {4, 10, 100}, out = {1000, 2000};
  backend_->combine(matrix(y, 1), {ints(offsets), ints(pairs), {}},
                    {{DType::kI32, {2, 2}, ids.data()}, matrix(weights, 2)}, 2, matrix(out, 1));
  EXPECT_THAT(out, ElementsAre(1000 + 2 * (0.5f * 100 + 0.25f * 4), 2000 + 2 * 10));
}

TEST_F(ReferenceBackendTest, ExpertMlpComposesThem) {
  ASSERT_TRUE(backend_->reserve({.tokens_max = 2, .pairs_max = 2, .intermediate_max = 1, .expert_io_max = 1}).ok());
  const Weight gate_up = weight({.groups = 2, .rows = 2, .cols = 1, .glu = true}, {10, 2, 20, 3});
  const Weight down = weight({.groups = 2, .rows = 1, .cols = 1}, {1, -1});
  const ExpertMlp mlp{.gate_up = &gate_up, .down = &down, .glu = {.kind = GluKind::kGelu}};
  Ints ids = {1, 0}, offsets = {0, 1, 2}, pairs = {1, 0};
  Floats weights = {0.5f, 1}, x = {1, 2}, out = {0, 0};
  backend_->expert_mlp(mlp, matrix(x, 1), {{DType::kI32, {2, 1}, ids.data()}, matrix(weights, 1)},
                       {ints(offsets), ints(pairs), {}}, matrix(out, 1));
  EXPECT_THAT(out, Near(Floats{0.5f * -(20 * 3), 20 * 4}));
}

TEST_F(ReferenceBackendTest, Sample) {
  const struct {
    const char* what;
    Floats logits;
    SampleParams params;
    int32_t id;
  } cases[] = {
      {"greedy", {1, 3, 2}, {}, 1},
      {"greedy: the lowest id among equals", {1, 3, 3}, {}, 1},
      {"a NaN", {1, kNan, 2}, {}, -1},
      {"drawn below 1/4", {0, kLog3}, {.temperature = 1, .uniform = 0.2f}, 0},
      {"drawn above 1/4", {0, kLog3}, {.temperature = 1, .uniform = 0.3f}, 1},
      {"temperature 1/2: probabilities 1/10, 9/10", {0, kLog3}, {.temperature = 0.5f, .uniform = 0.2f}, 1},
      {"top_k", {0, kLog3}, {.temperature = 1, .top_k = 1, .uniform = 0.2f}, 1},
      {"top_p", {0, kLog3}, {.temperature = 1, .top_p = 0.7f, .uniform = 0.2f}, 1},
      {"min_p", {0, kLog3}, {.temperature = 1, .min_p = 0.5f, .uniform = 0.2f}, 1},
      {"min_p keeps 1/3", {0, kLog3}, {.temperature = 1, .min_p = 0.3f, .uniform = 0.2f}, 0},
  };
  for (const auto& c : cases) {
    Floats logits = c.logits;
    Ints ids = {-9};
    backend_->sample(matrix(logits, static_cast<int64_t>(logits.size())), &c.params, ints(ids));
    EXPECT_EQ(ids[0], c.id) << c.what;
  }
}

TEST_F(ReferenceBackendTest, TakesSampledTokensWhereARowIsNamed) {
  Ints sampled = {70, 80}, rows = {-1, 1, 0}, tokens = {5, 6, 7};
  backend_->take_sampled(ints(sampled), ints(rows), ints(tokens));
  EXPECT_THAT(tokens, ElementsAre(5, 80, 70));
}

TEST_F(ReferenceBackendTest, ReadbacksKeepTheirSlotsValues) {
  ASSERT_TRUE(backend_->reserve({.tokens_max = 2, .logits_max = 4}).ok());
  Floats x = {1, 2};
  const Tensor first = backend_->enqueue_readback(0, matrix(x, 2));
  x = {3, 4};
  const Tensor second = backend_->enqueue_readback(1, matrix(x, 2));
  x = {5, 6};
  backend_->await_readback(0);
  backend_->await_readback(1);
  EXPECT_THAT(Floats(first.f32(), first.f32() + 2), ElementsAre(1, 2));
  EXPECT_THAT(Floats(second.f32(), second.f32() + 2), ElementsAre(3, 4));
}

}  // namespace
}  // namespace polymath::backend
