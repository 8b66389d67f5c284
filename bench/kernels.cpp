// The kernels of the CPU backend beside the limits of this machine, measured in turns so that a noisy neighbour
// slows both.
//
//   bench_kernels [threads] [isa] [name]     name: only the lines that contain it

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/machine_limits.h"
#include "base/clock.h"

namespace polymath::backend {
namespace {

constexpr DType kType = DType::kBf16;
constexpr double kSeconds = 1.2;  // for each line

struct Bench {
  Backend& backend;
  base::ThreadPool& pool;
  LimitMeter& meter;
  std::string only;
};

void fill(const Buffer& buffer, uint32_t seed) {
  // bf16 numbers of a few bits around 1/64: neither zeros nor subnormals, whose speed may differ.
  std::mt19937 engine(seed);
  auto* words = static_cast<uint16_t*>(buffer.data());
  for (size_t i = 0; i < buffer.bytes() / 2; ++i) {
    words[i] = static_cast<uint16_t>(0x3c00 | (engine() & 0x807f));
  }
}

Buffer memory(size_t bytes, uint32_t seed) {
  Buffer buffer = Buffer::host(bytes).value();
  fill(buffer, seed);
  return buffer;
}

Weight weight(Backend& backend, const WeightShape& shape) {
  Weight w = backend.make_weight(shape, kType).value();
  fill(w.data, 1);
  return w;
}

struct Cost {
  double bytes = 0, flop = 0;
};

// On one thread the time that it had a core, so that a busy machine does not count.
double seconds_now(Bench& b) {
  if (b.pool.size() > 1) return base::steady_seconds();
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Runs f(0), f(1), ... and the limit that binds them in turns; prints medians and bests.
void report(Bench& b, const std::string& name, const Cost& cost, const std::function<void(int)>& f) {
  if (name.find(b.only) == std::string::npos) return;
  const double read_best = b.meter.read_gbs(b.pool, 30), flops_best = b.meter.gflops(b.pool, kType, 30);
  const bool by_reading = cost.bytes / read_best > cost.flop / flops_best;
  const double work = by_reading ? cost.bytes : cost.flop;
  std::vector<double> rates, limits;
  const double end = base::steady_seconds() + kSeconds;
  for (int i = 0; base::steady_seconds() < end || i < 15;) {
    for (int run = 0; run < 5; ++run)
      limits.push_back(by_reading ? b.meter.read_gbs(b.pool, 1) : b.meter.gflops(b.pool, kType, 1));
    std::this_thread::sleep_for(std::chrono::microseconds(400));  // the meter's threads stop spinning
    f(i++);
    for (int run = 0; run < 5; ++run) {
      const double start = seconds_now(b);
      f(i++);
      rates.push_back(work / (seconds_now(b) - start) * 1e-9);
    }
  }
  std::sort(rates.begin(), rates.end());
  std::sort(limits.begin(), limits.end());
  const double rate = rates[rates.size() / 2], limit = limits[limits.size() / 2];
  std::printf("%-44s %7.1f %s of %6.1f  %5.1f %%   best %7.1f of %6.1f  %5.1f %%   %9.3f ms\n", name.c_str(), rate,
              by_reading ? "GB/s   " : "GFLOP/s", limit, 100 * rate / limit, rates.back(), limits.back(),
              100 * rates.back() / limits.back(), work / rate * 1e-6);
  std::fflush(stdout);
}

void dense(Bench& b, int64_t n_out, int64_t n_in) {
  const int copies = static_cast<int>(std::max<int64_t>(1, (200 << 20) / (n_out * n_in * 2)));  // past any cache
  std::vector<Weight> weights;
  for (int i = 0; i < copies; ++i) weights.push_back(weight(b.backend, {.rows = n_out, .cols = n_in}));
  const Buffer x = memory(512 * n_in * 2, 2), y = memory(512 * n_out * 4, 3);
  for (const int64_t m : {1, 4, 16, 64, 512}) {
    report(
        b, "dense " + std::to_string(n_out) + "x" + std::to_string(n_in) + " m=" + std::to_string(m),
        {static_cast<double>(n_out * n_in) * 2, 2.0 * static_cast<double>(m * n_out * n_in)}, [&](int i) {
          b.backend.linear({kType, {m, n_in}, x.data()}, weights[i % copies], {}, {DType::kF32, {m, n_out}, y.data()});
        });
  }
}

struct MoeShape {
  const char* name;
  int64_t hidden, inner;
  int n_experts, top_k;
  std::vector<int64_t> tokens;
};

void moe(Bench& b, const MoeShape& s) {
  const int layers = 2;  // so that one layer's experts are not in the cache from the call before
  std::vector<Weight> up, down;
  for (int i = 0; i < layers; ++i) {
    up.push_back(weight(b.backend, {.groups = s.n_experts, .rows = 2 * s.inner, .cols = s.hidden, .glu = true}));
    down.push_back(weight(b.backend, {.groups = s.n_experts, .rows = s.hidden, .cols = s.inner}));
  }
  const Buffer x = memory(512 * s.hidden * 2, 4), out = memory(512 * s.hidden * 4, 5);
  for (const int64_t n : s.tokens) {
    std::vector<int32_t> ids(n * s.top_k), offsets(s.n_experts + 1), pairs(n * s.top_k), order(s.n_experts);
    std::vector<float> weights(n * s.top_k, 0.25f);
    const Routing routing{{DType::kI32, {n, s.top_k}, ids.data()}, {DType::kF32, {n, s.top_k}, weights.data()}};
    const ExpertGroups groups{
        {DType::kI32, {s.n_experts + 1}, offsets.data()}, {DType::kI32, {n * s.top_k}, pairs.data()}, {}};
    std::mt19937 engine(7);
    for (int e = 0; e < s.n_experts; ++e) order[e] = e;
    for (int64_t t = 0; t < n; ++t) {
      std::shuffle(order.begin(), order.end(), engine);
      std::copy_n(order.begin(), s.top_k, ids.begin() + t * s.top_k);
    }
    b.backend.group_by_expert(routing, s.n_experts, groups);
    int touched = 0;
    for (int e = 0; e < s.n_experts; ++e) touched += offsets[e + 1] > offsets[e] ? 1 : 0;
    const double per_expert = 3.0 * static_cast<double>(s.hidden * s.inner);
    const Cost cost{touched * per_expert * 2, 2.0 * per_expert * static_cast<double>(n * s.top_k)};
    report(b,
           std::string(s.name) + " experts, " + std::to_string(n) + " tokens, " + std::to_string(touched) + " touched",
           cost, [&](int i) {
             b.backend.expert_mlp({.gate_up = &up[i % layers], .down = &down[i % layers]},
                                  {kType, {n, s.hidden}, x.data()}, routing, groups,
                                  {DType::kF32, {n, s.hidden}, out.data()});
           });
  }
}

struct AttentionShape {
  int n_heads, n_kv_heads, dim;
  int n_seqs, queries, context;
};

void attention(Bench& b, const AttentionShape& s) {
  const int layers = 20;
  const int blocks = (s.context + 15) / 16;
  const KvShape kv{s.n_kv_heads, s.dim, s.dim, false, 16, int64_t{blocks} * s.n_seqs, kType};
  std::vector<Buffer> caches;
  for (int i = 0; i < layers; ++i) caches.push_back(memory(b.backend.kv_block_bytes(kv) * blocks * s.n_seqs, 8));
  const int64_t n = int64_t{s.n_seqs} * s.queries, width = int64_t{s.n_heads} * s.dim;
  std::vector<int32_t> positions, slots(n), start, length(s.n_seqs, s.context), table;
  for (int seq = 0; seq <= s.n_seqs; ++seq) start.push_back(seq * s.queries);
  for (int64_t i = 0; i < n; ++i) positions.push_back(static_cast<int32_t>(s.context - s.queries + i % s.queries));
  for (int i = 0; i < blocks * s.n_seqs; ++i) table.push_back(i);
  std::shuffle(table.begin(), table.end(), std::mt19937(9));
  const Buffer q = memory(n * width * 4, 10), out = memory(n * width * 4, 11);
  std::fill_n(static_cast<float*>(q.data()), n * width, 0.01f);
  const auto vector = [](std::vector<int32_t>& v) {
    return Tensor{DType::kI32, {static_cast<int64_t>(v.size())}, v.data()};
  };
  const StepLayout layout{static_cast<int>(n),
                          s.n_seqs,
                          vector(positions),
                          vector(slots),
                          vector(start),
                          vector(length),
                          {DType::kI32, {s.n_seqs, blocks}, table.data()}};
  const double seen = s.queries * (s.context - (s.queries - 1) / 2.0);
  const Cost cost{4.0 * s.n_seqs * s.context * s.n_kv_heads * s.dim, 4.0 * s.n_seqs * seen * s.n_heads * s.dim};
  char name[100];
  std::snprintf(name, sizeof(name), "attention %d/%d x%d, %d x %d of %d", s.n_heads, s.n_kv_heads, s.dim, s.n_seqs,
                s.queries, s.context);
  report(b, name, cost, [&](int i) {
    b.backend.attention({.n_heads = s.n_heads, .scale = 0.1f}, {DType::kF32, {n, width}, q.data()},
                        {kv, caches[i % layers].data()}, layout, {kType, {n, width}, out.data()});
  });
}

// The ops between the products, for a step of n tokens of 16 heads x 128; bytes are those of the f32 rows.
void small(Bench& b, int64_t n) {
  const int64_t width = 2048;
  const KvShape kv{16, 128, 128, false, 16, n / 16 + 1, kType};
  const Buffer x = memory(n * width * 4, 12), y = memory(n * width * 4, 13), table = memory(n * 128 * 4, 14);
  const Buffer cache = memory(b.backend.kv_block_bytes(kv) * kv.n_blocks, 15);
  const Weight words = weight(b.backend, {.rows = 32000, .cols = width});
  std::vector<int32_t> places(n), ids(n);
  for (int64_t i = 0; i < n; ++i) places[i] = static_cast<int32_t>(i), ids[i] = static_cast<int32_t>(i * 7919 % 32000);
  std::fill_n(static_cast<float*>(x.data()), n * width, 0.5f);
  const Tensor rows{DType::kF32, {n, width}, x.data()}, out{kType, {n, width}, y.data()},
      i32{DType::kI32, {n}, places.data()};
  const Cost cost{static_cast<double>(n * width) * 4};
  const std::string tokens = ", " + std::to_string(n) + " x " + std::to_string(width);
  report(b, "small: norm" + tokens, cost, [&](int) { b.backend.norm({}, rows, out); });
  report(b, "small: rope" + tokens, cost, [&](int) {
    b.backend.rope({static_cast<float*>(table.data()), 128, false, 16, 128, 0}, i32, rows);
  });
  std::fill_n(static_cast<float*>(x.data()), n * width, 0.5f);
  report(b, "small: kv_write" + tokens, cost, [&](int) { b.backend.kv_write({kv, cache.data()}, rows, rows, i32); });
  report(b, "small: embed" + tokens, cost, [&](int) {
    b.backend.embed(words, {DType::kI32, {n}, ids.data()}, 1, {DType::kF32, {n, width}, y.data()});
  });
}

int run(int threads, const std::string& isa, const std::string& only) {
  auto backend = make_cpu_backend({.threads = threads, .isa = isa});
  if (!backend.ok()) {
    std::fprintf(stderr, "%s\n", backend.status().ToString().c_str());
    return 1;
  }
  const StepLimits limits{.tokens_max = 512,
                          .seqs_max = 64,
                          .blocks_max = 512,
                          .hidden_max = 4096,
                          .pairs_max = 4096,
                          .inner_max = 14336,
                          .attention_max = 8192,
                          .key_dim_max = 256};
  if (!(*backend)->reserve(limits).ok()) return 1;
  base::ThreadPool pool(threads);
  LimitMeter meter = LimitMeter::make().value();
  base::ThreadPool one(1);
  std::printf("one thread reads %.1f GB/s; %d read %.1f GB/s, multiply %.0f GFLOP/s in bf16 and %.0f in f32\n",
              meter.read_gbs(one, 10), threads, meter.read_gbs(pool, 10), meter.gflops(pool, DType::kBf16, 5),
              meter.gflops(pool, DType::kF32, 5));
  Bench b{**backend, pool, meter, only};
  const auto wanted = [&](const char* kind) { return only.empty() || only.starts_with(kind); };
  if (wanted("dense")) dense(b, 2048, 2048);
  if (wanted("qwen")) moe(b, {"qwen", 2048, 1408, 60, 4, {1, 4, 16, 32, 512}});
  if (wanted("mixtral")) moe(b, {"mixtral", 4096, 14336, 8, 2, {1, 16, 512}});
  if (wanted("small")) {
    small(b, 1);
    small(b, 512);
  }
  if (!wanted("attention")) return 0;
  attention(b, {16, 16, 128, 1, 1, 512});
  attention(b, {16, 16, 128, 16, 1, 512});
  attention(b, {32, 8, 128, 1, 1, 4096});
  attention(b, {16, 16, 128, 1, 512, 512});
  attention(b, {32, 8, 128, 1, 512, 2048});
  return 0;
}

}  // namespace
}  // namespace polymath::backend

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  return polymath::backend::run(threads > 0 ? threads : polymath::base::available_cores(), argc > 2 ? argv[2] : "",
                                argc > 3 ? argv[3] : "");
}
