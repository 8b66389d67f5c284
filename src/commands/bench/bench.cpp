// polymath bench offline MODEL: prefill and decode speed, beside the machine's limits measured in the same run. Drives
// the model without the engine, so that only steps are timed.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"
#include "base/write_file.h"
#include "commands/bench/bench_grammar.h"
#include "commands/bench/bench_kernels.h"
#include "commands/bench/bench_limits.h"
#include "commands/bench/bench_ranks.h"
#include "commands/bench/bench_sequences.h"
#include "commands/flags/flags.h"
#include "commands/load/bench_serve.h"
#include "commands/quality/bench_quality.h"
#include "commands/runtime.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

struct Figure {
  double tokens_per_s = 0;
  double bytes = 0, flops = 0;  // of a step
  double seconds = 0;           // of a step
  // Host time of a step outside of waits for the device; negative: unknown. The median leaves out a shared machine's
  // pauses.
  double host_mean = -1, host_median = -1;
};

using Prefill = BenchOptions::Prefill;

// The median of `repeats` steps that compute whole prompts.
absl::StatusOr<Figure> prefill(Runtime& runtime, const BenchOptions& options, const Prefill& shape, Limits& limits) {
  Sequences all(runtime, options, shape.prompts, shape.length);
  std::vector<double> seconds;
  for (int r = 0; r <= options.repeats; ++r) {
    limits.sample_read();
    limits.sample_gflops();
    all.restart();
    ASSIGN_OR_RETURN(const double s, all.step(shape.length));
    if (r > 0) seconds.push_back(s);  // the first warms up
  }
  const double s = median(seconds);
  return Figure{shape.tokens() / s, all.cost().weight_bytes + all.cost().kv_bytes, all.cost().flops, s};
}

// On a device that samples: times the steps as a server runs them. Then repeats the same lengths one step at a time,
// because only a finished step knows which experts it read.
absl::StatusOr<Figure> decode_ahead(const BenchOptions& options, int n, Sequences& all) {
  const int prompt = all.computed(), steps = options.output;
  RETURN_IF_ERROR(all.steps_ahead(std::min(steps, 4)).status());  // warms up
  all.restart(prompt);
  ASSIGN_OR_RETURN(const Sequences::Times times, all.steps_ahead(steps));
  all.restart(prompt);
  double bytes = 0, flops = 0;
  for (int t = 0; t < steps; ++t) {
    RETURN_IF_ERROR(all.step(1).status());
    bytes += all.cost().weight_bytes + all.cost().kv_bytes;
    flops += all.cost().flops;
  }
  const double host = std::accumulate(times.host_seconds.begin(), times.host_seconds.end(), 0.0);
  return Figure{n * steps / times.seconds, bytes / steps, flops / steps,
                times.seconds / steps,     host / steps,  median(times.host_seconds)};
}

// `n` sequences at once: each with its prompt, then one token a step.
absl::StatusOr<Figure> decode(Runtime& runtime, const BenchOptions& options, int n, Limits& limits) {
  constexpr int kStepsBetweenSamples = 8;
  Sequences all(runtime, options, n, options.input);
  const int chunk = std::max(1, runtime.step_tokens_max() / n);
  for (int done = 0; done < options.input;) {
    const int count = std::min(chunk, options.input - done);
    RETURN_IF_ERROR(all.step(count).status());
    done += count;
  }
  limits.sample_read();
  limits.sample_gflops();
  if (runtime.transformer().samples_on_device()) return decode_ahead(options, n, all);
  double seconds = 0, bytes = 0, flops = 0;
  for (int t = 0; t < options.output; ++t) {
    if (t % kStepsBetweenSamples == 0) {
      limits.sample_read();
      limits.sample_gflops();
    }
    ASSIGN_OR_RETURN(const double s, all.step(1));
    seconds += s;
    bytes += all.cost().weight_bytes + all.cost().kv_bytes;
    flops += all.cost().flops;
  }
  const double steps = options.output;
  return Figure{n * steps / seconds, bytes / steps, flops / steps, seconds / steps};
}

std::string named(const std::string& name, const BenchOptions& options) {
  return options.same_tokens ? name + ", same" : name;
}

std::string text_of(const Prefill& shape) {
  return shape.prompts > 1 ? absl::StrCat("prefill of ", shape.prompts, " x ", shape.length)
                           : absl::StrCat("prefill of ", shape.length);
}

// The roofline of a step: its bytes over the bandwidth and its operations over the rate. The longer one bounds it.
class Report {
 public:
  void add(const std::string& name, const Figure& f, const Limits& limits) {
    const double memory_s = f.bytes / (limits.read_gbs() * 1e9), compute_s = f.flops / (limits.gflops() * 1e9);
    const bool memory = memory_s > compute_s;
    const double share = std::max(memory_s, compute_s) / f.seconds;
    std::printf(
        "%-28s %9.1f tok/s  %8.2f ms/step  %6.1f GB/s (%5.1f %% of %.1f)  %7.1f GFLOP/s (%5.1f %% of %.0f)  %s bound",
        name.c_str(), f.tokens_per_s, f.seconds * 1e3, f.bytes / f.seconds / 1e9, 100 * memory_s / f.seconds,
        limits.read_gbs(), f.flops / f.seconds / 1e9, 100 * compute_s / f.seconds, limits.gflops(),
        memory ? "memory" : "compute");
    if (f.host_mean >= 0) std::printf("  host %.0f us, median %.0f", f.host_mean * 1e6, f.host_median * 1e6);
    std::printf("\n");
    std::fflush(stdout);
    boost::json::object figure{{"what", name},
                               {"tokens_per_s", f.tokens_per_s},
                               {"step_ms", f.seconds * 1e3},
                               {"step_bytes", f.bytes},
                               {"step_flops", f.flops},
                               {"bound", memory ? "memory" : "compute"},
                               {"limit", memory ? limits.read_gbs() : limits.gflops()},
                               {"share_of_limit", share},
                               {"memory_ms", memory_s * 1e3},
                               {"compute_ms", compute_s * 1e3}};
    if (f.host_mean >= 0) figure["host_us"] = f.host_mean * 1e6, figure["host_median_us"] = f.host_median * 1e6;
    figures_.push_back(std::move(figure));
  }

  absl::Status write(const Runtime& runtime, const BenchOptions& options) const {
    if (options.output_json.empty()) return absl::OkStatus();
    const boost::json::object report{
        {"model", std::filesystem::path(runtime.files().path()).filename().string()},
        {"device", std::string(runtime.backend().name())},
        {"dtype", std::string(tensor::dtype_name(runtime.weight_dtype()))},
        {"prompt", options.input},
        {"generated", options.output},
        {"figures", figures_},
    };
    return base::write_file(options.output_json, boost::json::serialize(report) + "\n");
  }

 private:
  boost::json::array figures_;
};

absl::Status offline(const Options& options) {
  base::MetricsRegistry metrics;
  ASSIGN_OR_RETURN(auto runtime, Runtime::open(options.model, options.runtime));
  const bool bf16 = runtime->weight_dtype() == tensor::DType::kBf16;
  const auto dtype = bf16 ? tensor::DType::kBf16 : tensor::DType::kF32;
  const backend::DeviceLimits device = runtime->device_limits(dtype);  // while its memory is free
  RETURN_IF_ERROR(runtime->load(metrics));
  if (options.bench.feedback && !runtime->transformer().samples_on_device()) {
    return absl::UnimplementedError("--feedback: this device chooses no tokens itself; it is for a GPU");
  }
  const int most = *std::max_element(options.bench.batch.begin(), options.bench.batch.end());
  int64_t wanted = int64_t{most} * Sequences(*runtime, options.bench, 1, options.bench.input).width();
  for (const Prefill& p : options.bench.timed_prefills()) {
    wanted = std::max(wanted, int64_t{p.prompts} * Sequences(*runtime, options.bench, 1, p.length).width());
  }
  if (runtime->kv_blocks() < wanted) {
    return absl::ResourceExhaustedError(absl::StrCat("the KV cache has ", runtime->kv_blocks(),
                                                     " blocks and the largest step needs ", wanted,
                                                     "; raise --kv-cache-memory-bytes"));
  }
  base::ThreadPool pool(options.runtime.threads > 0 ? options.runtime.threads : base::available_cores());
  ASSIGN_OR_RETURN(auto meter, backend::LimitMeter::make());
  Limits limits(std::move(meter), pool, dtype, device);
  Report report;
  for (const Prefill& p : options.bench.timed_prefills()) {
    if (p.tokens() > runtime->step_tokens_max()) {
      base::log_warning("bench", text_of(p), " is left out: --max-num-batched-tokens is ", runtime->step_tokens_max());
      continue;
    }
    limits.restart();
    ASSIGN_OR_RETURN(const Figure f, prefill(*runtime, options.bench, p, limits));
    report.add(named(text_of(p), options.bench), f, limits);
  }
  for (const int n : options.bench.batch) {
    limits.restart();
    ASSIGN_OR_RETURN(const Figure f, decode(*runtime, options.bench, n, limits));
    report.add(named(absl::StrCat("decode of ", n, n == 1 ? " sequence" : " sequences"), options.bench), f, limits);
  }
  return report.write(*runtime, options.bench);
}

// For the blocks of the largest batch, and the tokens of the largest prefill.
void make_room(Options& options) {
  const BenchOptions& bench = options.bench;
  int most = *std::max_element(bench.batch.begin(), bench.batch.end()), longest = bench.input;
  for (const Prefill& p : bench.timed_prefills())
    most = std::max(most, p.prompts), longest = std::max(longest, p.length);
  options.runtime.sequences = std::max(options.runtime.sequences, most);
  options.model.max_model_len = std::max(options.model.max_model_len, longest + bench.output);
}

// A verb's second word, with flags of its own.
int run_with(Verb verb, absl::Status (*run)(const Options&), const Arguments& arguments) {
  const auto options = parse_flags(verb, Arguments(arguments.begin() + 1, arguments.end()));
  if (!options.ok()) return fail_flags(options.status());
  const absl::Status status = run(*options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace

int bench(const Arguments& arguments) {
  const std::string what = arguments.empty() ? "" : arguments[0];
  if (what == "serve") return run_with(kBenchServe, load::bench_serve, arguments);
  if (what == "grammar") return bench_grammar({arguments.begin() + 1, arguments.end()});
  if (what == "quality") return run_with(kBenchQuality, bench_quality, arguments);
  if (what != "offline" && what != "kernels" && what != "ranks") {
    std::fputs(
        "polymath bench offline MODEL [flags]: prefill and decode speed, beside the machine's limits\n"
        "polymath bench kernels MODEL [flags]: a layer's ops one by one, beside the same limits\n"
        "polymath bench ranks MODEL --tensor-parallel-size N [flags]: sums and gathers between the ranks\n"
        "polymath bench grammar DIRECTORY: compiles and follows grammars from stdin, over a tokenizer's vocabulary\n"
        "polymath bench quality MODEL --against REFERENCE --text FILE [flags]: perplexity and KL divergence\n"
        "polymath bench serve [MODEL] [flags]: load on a running server, by its latencies and throughput\n",
        stderr);
    return what == "--help" ? 0 : 2;
  }
  auto options = parse_flags(kBench, Arguments(arguments.begin() + 1, arguments.end()));
  if (!options.ok()) return fail_flags(options.status());
  if (options->bench.batch.empty()) options->bench.batch = {1, 16, 32};
  make_room(*options);
  const absl::Status status = what == "kernels" ? bench_kernels(*options)
                              : what == "ranks" ? bench_ranks(*options)
                                                : offline(*options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace polymath::commands
