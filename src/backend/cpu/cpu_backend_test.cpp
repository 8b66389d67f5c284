#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/test_values.h"

namespace polymath::backend {
namespace {

constexpr StepLimits kLimits{.tokens_max = 1100,
                             .seqs_max = 8,
                             .blocks_max = 64,
                             .hidden_max = 5000,
                             .pairs_max = 2200,
                             .intermediate_max = 100,
                             .attention_max = 640,
                             .key_dim_max = 160};

// Every instruction set that this machine runs.
std::vector<std::string> instruction_sets() {
  std::vector<std::string> out;
  for (const char* isa : {"portable", "avx2", "avx512", "amx"}) {
    if (make_cpu_backend({.threads = 1, .isa = isa}).ok()) out.push_back(isa);
  }
  return out;
}

class Cpu : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    backend_ = make_cpu_backend({.threads = 2, .isa = GetParam()}).value();
    ASSERT_TRUE(backend_->reserve(kLimits).ok());
  }
  Backend& cpu() { return *backend_; }

  std::unique_ptr<Backend> backend_;
};
INSTANTIATE_TEST_SUITE_P(Isa, Cpu, testing::ValuesIn(instruction_sets()), [](const auto& info) { return info.param; });

// Of a dot product over n values up to 1, stored in `dtype`.
double tolerance(double value, int64_t n, DType dtype = DType::kF32) {
  return 5e-6 * std::sqrt(static_cast<double>(n)) + 2e-6 + std::abs(value) * (dtype == DType::kBf16 ? 1.0 / 200 : 2e-6);
}

TEST(MakeCpuBackend, RefusesInstructionSetsByName) {
  const auto unknown = make_cpu_backend({.isa = "mmx"});
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(unknown.status().message()).find("portable"), std::string::npos);
  EXPECT_TRUE(make_cpu_backend({}).ok());
}

struct LinearCase {
  int64_t rows, cols;
  bool glu;
};
constexpr LinearCase kLinears[] = {{48, 40, false}, {33, 7, false},    {96, 256, true}, {1, 1, false},
                                   {60, 64, false}, {40, 5000, false}, {80, 33, true}};

void check_linear(Backend& cpu, const TestWeight& w, int64_t n, uint32_t seed) {
  const auto& shape = w.weight.shape;
  std::vector<float> bias(shape.rows);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = 0.01f * static_cast<float>(i);
  for (const DType act : {DType::kF32, DType::kBf16}) {
    TestMatrix x(act, n, shape.cols, 3), y(act, n, shape.rows, 5), plain(DType::kF32, n, shape.rows);
    x.randomize(++seed);
    y.randomize(++seed);
    plain.randomize(++seed);
    const TestMatrix before = plain;
    cpu.linear(x.tensor(), w.weight, {.bias = bias.data(), .scale = 0.5f, .clamp = 2}, y.tensor());
    cpu.linear(x.tensor(), w.weight, {.accumulate = true}, plain.tensor());
    y.pull();
    plain.pull();
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t r = 0; r < shape.rows; ++r) {
        const double dot = exact_dot({x, i}, w, 0, r), expected = 0.5 * std::clamp(dot + bias[r], -2.0, 2.0);
        ASSERT_NEAR(y.at(i, r), expected, tolerance(expected, shape.cols, act)) << i << "," << r << " of " << n;
        ASSERT_NEAR(plain.at(i, r), dot + before.at(i, r), tolerance(dot, shape.cols)) << i << "," << r << " of " << n;
      }
    }
  }
}

TEST_P(Cpu, LinearMultipliesAddsClampsAndScales) {
  uint32_t seed = 0;
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const LinearCase& shape : kLinears) {
      const TestWeight w(cpu(), {.rows = shape.rows, .cols = shape.cols, .glu = shape.glu}, type, ++seed);
      for (const int64_t n : {1, 2, 5, 12, 13, 31}) {
        SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " " << shape.rows << "x" << shape.cols);
        ASSERT_NO_FATAL_FAILURE(check_linear(cpu(), w, n, seed));
        seed += 6;
      }
    }
  }
}

TEST_P(Cpu, ARowDoesNotSeeItsNeighbours) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    const TestWeight w(cpu(), {.rows = 70, .cols = 4500}, type, 1);
    TestMatrix x(DType::kF32, 1000, 4500), all(DType::kF32, 1000, 70), one(DType::kF32, 1, 70);
    x.randomize(2);
    cpu().linear(x.tensor(), w.weight, {}, all.tensor());
    all.pull();
    for (const int64_t i : {0, 3, 479, 480, 997, 999}) {
      cpu().linear(x.tensor().slice_rows(i, 1), w.weight, {}, one.tensor());
      one.pull();
      for (int64_t r = 0; r < 70; ++r) ASSERT_EQ(one.at(0, r), all.at(i, r));
      EXPECT_NEAR(one.at(0, 5), exact_dot({x, i}, w, 0, 5), tolerance(0, 4500) * 4);
    }
  }
}

TEST_P(Cpu, BatchedLinearGoesGroupByGroup) {
  const int64_t groups = 5, rows = 40, cols = 24, n = 14;
  for (const DType type : {DType::kF32, DType::kBf16}) {
    const TestWeight w(cpu(), {.groups = groups, .rows = rows, .cols = cols}, type, 3);
    TestMatrix x(DType::kF32, n, groups * 30), y(DType::kF32, n, groups * 48);
    x.randomize(4);
    cpu().batched_linear(x.tensor(), 30, w.weight, 48, y.tensor());
    y.pull();
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t c = 0; c < y.n_cols; ++c) {
        const int64_t g = c / 48, r = c % 48;
        const bool between = r >= rows;  // a column between two groups' outputs: not written
        ASSERT_NEAR(y.at(i, c), between ? 0 : exact_dot({x, i, g * 30}, w, g, r), between ? 0 : tolerance(0, cols));
      }
    }
  }
}

// Choices of a batch: token t's choice k is expert (t * t + k) % n_experts. With `drop`, every eleventh is dropped.
struct TestRouting {
  TestRouting(int64_t n, int64_t top_k, int n_experts, bool drop)
      : ids(n * top_k), weights(n * top_k), offsets(n_experts + 1), pairs(n * top_k), load(2 * n_experts) {
    for (int64_t i = 0; i < n * top_k; ++i) {
      const int64_t token = i / top_k, choice = i % top_k;
      ids[i] = drop && i % 11 == 5 ? -1 : static_cast<int32_t>((token * token + choice) % n_experts);
      weights[i] = 0.1f + 0.05f * static_cast<float>(i % 9);
    }
    routing = {{DType::kI32, {n, top_k}, ids.data()}, {DType::kF32, {n, top_k}, weights.data()}};
    groups = {ints(offsets), ints(pairs), {DType::kI64, {2, n_experts}, load.data()}};
  }
  std::vector<int32_t> ids;
  std::vector<float> weights;
  std::vector<int32_t> offsets, pairs;
  std::vector<int64_t> load;
  Routing routing;
  ExpertGroups groups;
};

TEST_P(Cpu, GroupsAreSortedPairs) {
  TestRouting t(40, 3, 7, true);
  t.load[2] = 100;
  cpu().group_by_expert(t.routing, 7, t.groups);
  std::vector<int32_t> expected;
  for (int e = 0; e < 7; ++e) {
    EXPECT_EQ(t.offsets[e], static_cast<int32_t>(expected.size()));
    for (int32_t i = 0; i < 120; ++i) {
      if (t.ids[i] == e) expected.push_back(i);
    }
    EXPECT_EQ(t.load[e], static_cast<int64_t>(expected.size()) - t.offsets[e] + (e == 2 ? 100 : 0));
    EXPECT_EQ(t.load[7 + e], static_cast<int64_t>(expected.size()) > t.offsets[e] ? 1 : 0);
  }
  EXPECT_EQ(t.offsets[7], static_cast<int32_t>(expected.size()));
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), t.pairs.begin()));
}

TEST_P(Cpu, GroupedLinearAndCombine) {
  const int64_t n = 30, top_k = 2, rows = 48, cols = 40;
  TestRouting t(n, top_k, 5, true);
  cpu().group_by_expert(t.routing, 5, t.groups);
  const TestWeight w(cpu(), {.groups = 5, .rows = rows, .cols = cols}, DType::kBf16, 6);
  std::vector<float> bias(5 * rows, 0.25f);
  TestMatrix x(DType::kBf16, n, cols), y(DType::kF32, n * top_k, rows), out(DType::kF32, n, rows);
  x.randomize(7);
  out.randomize(8);
  const TestMatrix before = out;
  cpu().grouped_linear({&w.weight, bias.data(), &t.groups, top_k, true}, x.tensor(), y.tensor());
  cpu().combine(y.tensor(), t.groups, t.routing, 2, out.tensor());
  y.pull();
  out.pull();
  const auto expected = [&](int64_t token, int64_t r) {
    double sum = before.at(token, r);
    for (int64_t pair = token * top_k; pair < (token + 1) * top_k; ++pair) {
      if (t.ids[pair] >= 0) sum += 2 * t.weights[pair] * (exact_dot({x, token}, w, t.ids[pair], r) + 0.25);
    }
    return sum;
  };
  for (int64_t token = 0; token < n; ++token) {
    for (int64_t r = 0; r < rows; ++r) {
      ASSERT_NEAR(out.at(token, r), expected(token, r), tolerance(expected(token, r), cols) * 3);
    }
  }
  TestMatrix again(DType::kF32, n * top_k, rows), z(DType::kF32, n * top_k, cols);
  z.randomize(9);
  cpu().grouped_linear({&w.weight, nullptr, &t.groups, top_k, false}, z.tensor(), again.tensor());
  again.pull();
  for (int64_t j = 0; j < t.offsets[5]; ++j) {
    ASSERT_NEAR(again.at(j, 3), exact_dot({z, j}, w, t.ids[t.pairs[j]], 3), tolerance(0, cols));
  }
}

double exact_glu(const GluParams& p, double gate, double up) {
  switch (p.kind) {
    case GluKind::kSilu:
      return gate / (1 + std::exp(-gate)) * up;
    case GluKind::kSwigluClamp:
      gate = std::min<double>(gate, p.limit);
      return gate / (1 + std::exp(-p.alpha * gate)) * (std::clamp<double>(up, -p.limit, p.limit) + 1);
    default:
      return 0.5 * gate * (1 + std::tanh(0.7978845608028654 * (gate + 0.044715 * gate * gate * gate))) * up;
  }
}

TEST_P(Cpu, GluOfRows) {
  for (const GluKind kind : {GluKind::kSilu, GluKind::kSwigluClamp, GluKind::kGelu}) {
    const GluParams params{kind, 3.0f, 1.7f};
    TestMatrix x(DType::kF32, 9, 2 * 37), y(DType::kF32, 9, 37);
    x.randomize(10, 20);
    cpu().glu(params, x.tensor(), y.tensor());
    y.pull();
    for (int64_t i = 0; i < 9; ++i) {
      for (int64_t c = 0; c < 37; ++c) {
        const double expected = exact_glu(params, x.at(i, c), x.at(i, 37 + c));
        ASSERT_NEAR(y.at(i, c), expected, 1e-6 + 2e-6 * std::abs(expected)) << x.at(i, c);
      }
    }
  }
}

struct MlpCase {
  GluKind glu;
  int n_experts;
  int64_t top_k, n, hidden, intermediate;
  bool bias, on_input, drop;
};
constexpr MlpCase kMlps[] = {{GluKind::kSilu, 6, 2, 1, 40, 48, false, false, false},
                             {GluKind::kSilu, 6, 2, 70, 40, 41, false, false, true},
                             {GluKind::kSwigluClamp, 4, 3, 33, 64, 24, true, false, false},
                             {GluKind::kGelu, 1, 1, 30, 100, 96, true, false, false},
                             {GluKind::kSilu, 5, 1, 25, 50, 32, false, true, false},
                             {GluKind::kSilu, 2, 2, 1090, 34, 20, false, false, false}};

// A case's weights and inputs, and its exact results in double.
struct MlpSetup {
  MlpSetup(Backend& cpu, const MlpCase& mlp_case, DType type)
      : c(mlp_case),
        act(cpu.activation_dtype(type)),
        gate_up(cpu, {.groups = c.n_experts, .rows = 2 * c.intermediate, .cols = c.hidden, .glu = true}, type, 11,
                0.3f),
        down(cpu, {.groups = c.n_experts, .rows = c.hidden, .cols = c.intermediate}, type, 12, 0.3f),
        up_bias(DType::kF32, c.n_experts, 2 * c.intermediate),
        down_bias(DType::kF32, c.n_experts, c.hidden),
        x(act, c.n, c.hidden),
        routing(c.n, c.top_k, c.n_experts, c.drop) {
    up_bias.randomize(13);
    down_bias.randomize(14);
    x.randomize(15);
    mlp = {
        .gate_up = &gate_up.weight, .down = &down.weight, .glu = {c.glu}, .weight_on_input = c.on_input, .scale = 0.7f};
    if (!c.bias) return;
    mlp.gate_up_bias = up_bias.tensor().f32();
    mlp.down_bias = down_bias.tensor().f32();
  }

  // Of expert e for x[token] times `factor`, rounded as the backend must round it.
  std::vector<double> exact_intermediate(int64_t token, int e, double factor) const {
    std::vector<double> out(c.intermediate);
    for (int64_t i = 0; i < c.intermediate; ++i) {
      const int64_t up = c.intermediate + i;
      const double gate = factor * exact_dot({x, token}, gate_up, e, i) + (c.bias ? up_bias.at(e, i) : 0);
      const double lift = factor * exact_dot({x, token}, gate_up, e, up) + (c.bias ? up_bias.at(e, up) : 0);
      out[i] = rounded(static_cast<float>(exact_glu(mlp.glu, gate, lift)), act);
    }
    return out;
  }
  // Adds `weight` times the expert's output to `sum`.
  void add_exact(std::vector<double>& sum, const std::vector<double>& intermediate, int e, double weight) const {
    for (int64_t r = 0; r < c.hidden; ++r) {
      double dot = c.bias ? down_bias.at(e, r) : 0;
      for (int64_t i = 0; i < c.intermediate; ++i) dot += intermediate[i] * down.at(e, r, i);
      sum[r] += weight * dot;
    }
  }
  std::vector<double> exact(int64_t token) const {
    std::vector<double> sum(c.hidden);
    for (int64_t pair = token * c.top_k; pair < (token + 1) * c.top_k; ++pair) {
      const int e = routing.ids[pair];
      if (e < 0) continue;
      const double weight = routing.weights[pair];
      add_exact(sum, exact_intermediate(token, e, c.on_input ? weight : 1), e, 0.7 * (c.on_input ? 1 : weight));
    }
    return sum;
  }

  const MlpCase& c;
  const DType act;
  const TestWeight gate_up, down;
  TestMatrix up_bias, down_bias, x;
  TestRouting routing;
  ExpertMlp mlp;
};

void check_mlp(Backend& cpu, const MlpCase& c, DType type) {
  MlpSetup setup(cpu, c, type);
  TestRouting& t = setup.routing;
  cpu.group_by_expert(t.routing, c.n_experts, t.groups);
  TestMatrix out(DType::kF32, c.n, c.hidden, 4);
  out.randomize(16);
  const TestMatrix before = out;
  cpu.expert_mlp(setup.mlp, setup.x.tensor(), t.routing, t.groups, out.tensor());
  out.pull();
  // An intermediate value near the middle of two bf16 values may round either way.
  const double slack = setup.act == DType::kBf16 ? 4e-3 : 1e-5;
  const int64_t step = c.n > 100 ? 109 : 1;
  for (int64_t token = 0; token < c.n; token += step) {
    const std::vector<double> expected = setup.exact(token);
    for (int64_t r = 0; r < c.hidden; ++r) {
      ASSERT_NEAR(out.at(token, r), before.at(token, r) + expected[r], slack) << token << "," << r;
    }
  }
  // A token alone gives the same bits.
  const int64_t token = c.n / 2;
  std::vector<int32_t> ids(t.ids.begin() + token * c.top_k, t.ids.begin() + (token + 1) * c.top_k);
  std::vector<float> weights(t.weights.begin() + token * c.top_k, t.weights.begin() + (token + 1) * c.top_k);
  const Routing one{{DType::kI32, {1, c.top_k}, ids.data()}, {DType::kF32, {1, c.top_k}, weights.data()}};
  cpu.group_by_expert(one, c.n_experts, t.groups);
  TestMatrix alone = before;
  const Tensor alone_row = alone.tensor().slice_rows(token, 1);
  cpu.expert_mlp(setup.mlp, setup.x.tensor().slice_rows(token, 1), one, t.groups, alone_row);
  alone.pull();
  for (int64_t r = 0; r < c.hidden; ++r) ASSERT_EQ(alone.at(token, r), out.at(token, r));
}

TEST_P(Cpu, ExpertMlpIsTheSumOfItsExperts) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const MlpCase& c : kMlps) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " hidden " << c.hidden << " n " << c.n);
      check_mlp(cpu(), c, type);
    }
  }
}

TEST_P(Cpu, EmbedTakesRowsOfTheTable) {
  std::vector<int32_t> ids = {0, 36, 5, 17, 36};
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    const TestWeight table(cpu(), {.rows = 37, .cols = 25}, type, 20);
    TestMatrix y(DType::kF32, 5, 25);
    cpu().embed(table.weight, ints(ids), 2, y.tensor());
    y.pull();
    for (int64_t i = 0; i < 5; ++i) {
      for (int64_t c = 0; c < 25; ++c) ASSERT_EQ(y.at(i, c), 2 * table.at(0, ids[i], c));
    }
  }
}

// A weight of `type` filled with the transpose of a matrix stored as `stored`.
void check_fill(Backend& cpu, DType type, DType stored) {
  TestMatrix source(stored, 600, 21);
  source.randomize(21);
  Weight w = cpu.make_weight({.rows = 21, .cols = 600}, quant::plain_format(type)).value();
  cpu.fill_weight(w, 0, 0, {&quant::plain_format(stored), source.bytes.data(), 21, 600, 1, 21});
  std::vector<int32_t> ids(21);
  for (int i = 0; i < 21; ++i) ids[i] = i;
  TestMatrix y(DType::kF32, 21, 600);
  cpu.embed(w, ints(ids), 1, y.tensor());
  y.pull();
  for (int64_t r = 0; r < 21; ++r) {
    for (int64_t c = 0; c < 600; ++c) ASSERT_EQ(y.at(r, c), rounded(source.at(c, r), type));
  }
}

TEST_P(Cpu, FillConvertsAndTransposes) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const DType stored : {DType::kF32, DType::kBf16, DType::kF16}) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " from " << tensor::dtype_name(stored));
      ASSERT_NO_FATAL_FAILURE(check_fill(cpu(), type, stored));
    }
  }
}

// A segment of `width` elements, without weight and bias.
std::vector<double> exact_norm(NormKind kind, const TestRow& x, int64_t width) {
  const auto at = [&](int64_t c) { return static_cast<double>(x.matrix.at(x.row, x.begin + c)); };
  double mean = 0, squares = 0;
  for (int64_t c = 0; kind == NormKind::kLayer && c < width; ++c) mean += at(c) / static_cast<double>(width);
  for (int64_t c = 0; c < width; ++c) squares += std::pow(at(c) - mean, 2) / static_cast<double>(width);
  std::vector<double> out(width);
  for (int64_t c = 0; c < width; ++c) out[c] = (at(c) - mean) / std::sqrt(squares + 1e-5);
  return out;
}

void check_norm(Backend& cpu, NormKind kind, int64_t width, DType act) {
  const int segments = 2;
  TestMatrix x(act, 7, segments * width, 2), y(act, 7, segments * width);
  x.randomize(30);
  for (float& v : x.values) v += 0.5f;
  quant::plain_format(act).quantize(x.values.data(), x.bytes.data(), static_cast<int64_t>(x.values.size()));
  x.pull();
  std::vector<float> weight(width), bias(width);
  const bool shifted = kind == NormKind::kLayer;
  for (int64_t i = 0; i < width; ++i) weight[i] = 1 + 0.01f * i, bias[i] = shifted ? 0.1f * (i % 5) : 0;
  cpu.norm({kind, 1e-5f, segments, weight.data(), shifted ? bias.data() : nullptr}, x.tensor(), y.tensor());
  y.pull();
  for (int64_t i = 0; i < 7; ++i) {
    for (int64_t begin = 0; begin < x.n_cols; begin += width) {
      const std::vector<double> plain = exact_norm(kind, {x, i, begin}, width);
      for (int64_t c = 0; c < width; ++c) {
        const double expected = plain[c] * weight[c] + bias[c];
        ASSERT_NEAR(y.at(i, begin + c), expected, 1e-4 + std::abs(expected) * (act == DType::kBf16 ? 5e-3 : 1e-5));
      }
    }
  }
}

TEST_P(Cpu, NormsOfSegments) {
  for (const NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    for (const int64_t width : {1, 24, 100, 2048}) {
      for (const DType act : {DType::kF32, DType::kBf16}) ASSERT_NO_FATAL_FAILURE(check_norm(cpu(), kind, width, act));
    }
  }
}

void check_rope(Backend& cpu, bool interleaved, int dims) {
  const int heads = 3, offset = 5, stride = dims + 9;
  std::vector<float> table(50 * dims);
  for (size_t i = 0; i < table.size(); i += 2) table[i] = std::cos(0.1f * i), table[i + 1] = std::sin(0.1f * i);
  std::vector<int32_t> positions = {0, 49, 3, 7};
  TestMatrix x(DType::kF32, 4, heads * stride);
  x.randomize(31);
  const TestMatrix before = x;
  cpu.rope({table.data(), dims, interleaved, heads, stride, offset}, ints(positions), x.tensor());
  x.pull();
  TestMatrix expected = before;
  for (int64_t i = 0; i < 4; ++i) {
    for (int pair = 0; pair < heads * dims / 2; ++pair) {
      const int h = pair / (dims / 2), j = pair % (dims / 2);
      const int base = h * stride + offset, a = base + (interleaved ? 2 * j : j),
                b = base + (interleaved ? 2 * j + 1 : j + dims / 2);
      const float c = table[positions[i] * dims + 2 * j], s = table[positions[i] * dims + 2 * j + 1];
      expected.values[i * x.stride + a] = before.at(i, a) * c - before.at(i, b) * s;
      expected.values[i * x.stride + b] = before.at(i, b) * c + before.at(i, a) * s;
    }
    for (int64_t c = 0; c < x.n_cols; ++c) ASSERT_NEAR(x.at(i, c), expected.at(i, c), 1e-6);
  }
}

TEST_P(Cpu, RopeTurnsPairs) {
  for (const bool interleaved : {false, true}) {
    for (const int dims : {8, 24, 192}) ASSERT_NO_FATAL_FAILURE(check_rope(cpu(), interleaved, dims));
  }
}

TEST_P(Cpu, RowsAreScaledGatheredAndCopied) {
  TestMatrix x(DType::kF32, 6, 37), y(DType::kF32, 4, 37), wide(DType::kF32, 6, 90);
  x.randomize(32);
  std::vector<int32_t> rows = {5, 0, 0, 3};
  cpu().gather_rows(x.tensor(), ints(rows), y.tensor());
  y.pull();
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t c = 0; c < 37; ++c) ASSERT_EQ(y.at(i, c), x.at(rows[i], c));
  }
  cpu().copy_heads({3, 7, 11, 30}, x.tensor(), wide.tensor());
  wide.pull();
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t c = 0; c < 90; ++c) ASSERT_EQ(wide.at(i, c), c % 30 < 7 ? x.at(i, c / 30 * 11 + c % 30) : 0);
  }
  std::vector<float> factors = {1, 2, 3, -1, 0, 0.5f};
  TestMatrix scaled = x;
  cpu().scale_rows(floats_of(factors), scaled.tensor());
  scaled.pull();
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t c = 0; c < 37; ++c) ASSERT_EQ(scaled.at(i, c), factors[i] * x.at(i, c));
  }
}

TEST_P(Cpu, RoutesEveryRow) {
  const routing::Router& router = *routing::find_router("softmax_topk");
  const routing::RouterConfig config{.n_experts = 12, .top_k = 3, .normalize = true};
  TestMatrix logits(DType::kF32, 400, 12);
  logits.randomize(33);
  std::vector<int32_t> tokens(400), ids(1200), expected_ids(3);
  std::vector<float> weights(1200), expected_weights(3);
  cpu().route({config, router.route, nullptr}, logits.tensor(), ints(tokens),
              {{DType::kI32, {400, 3}, ids.data()}, {DType::kF32, {400, 3}, weights.data()}});
  for (int64_t i = 0; i < 400; ++i) {
    router.route(config, logits.values.data() + i * 12, nullptr, 0, expected_ids.data(), expected_weights.data());
    for (int64_t k = 0; k < 3; ++k) {
      ASSERT_EQ(ids[i * 3 + k], expected_ids[k]);
      ASSERT_EQ(weights[i * 3 + k], expected_weights[k]);
    }
  }
}

}  // namespace
}  // namespace polymath::backend
