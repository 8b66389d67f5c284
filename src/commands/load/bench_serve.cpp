#include "commands/load/bench_serve.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/write_file.h"
#include "commands/load/model_name.h"
#include "commands/load/plot.h"
#include "commands/load/report.h"
#include "commands/load/runner.h"

namespace polymath::commands::load {
namespace {

constexpr int kSpareDescriptors = 64;     // for files and libraries
constexpr int kConnectionsMax = 1 << 16;  // without --max-concurrency; others wait for one of them
constexpr const char* kResultFile = "bench-serve.json";

// Sockets that may be open at once; the soft limit of descriptors is raised to the hard one.
int sockets_max() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto sockets = static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 30)) - kSpareDescriptors;
  return static_cast<int>(std::clamp<int64_t>(sockets, 1, 1 << 20));
}

absl::Status check_flags(const LoadOptions& o, const Dialect& dialect) {
  const bool open = !std::isinf(o.arrivals.rate);
  if (!o.trace.empty() && open)
    return absl::InvalidArgumentError("--trace says when requests arrive: no --request-rate");
  if (o.prompt_form == "ids" && !dialect.takes_ids) {
    return absl::InvalidArgumentError(absl::StrCat("--prompt-format ids: ", o.backend, " takes text only"));
  }
  for (const Bound& bound : o.bounds) {
    if (!dialect.streams && bound.latency != Latency::kE2el) {
      return absl::InvalidArgumentError(absl::StrCat("--goodput: ", o.backend, " answers at once; only e2el is known"));
    }
  }
  if (o.concurrency_max > sockets_max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-concurrency: this process may open ", sockets_max(), " sockets; raise `ulimit -n`"));
  }
  return absl::OkStatus();
}

absl::StatusOr<http::Target> target_of(const Options& options) {
  http::Target target;
  if (!options.load.base_url.empty()) {
    ASSIGN_OR_RETURN(target, http::parse_base_url(options.load.base_url));
  } else {
    const bool any = options.server.host == "0.0.0.0" || options.server.host.empty();
    target.host = any ? "127.0.0.1" : options.server.host;
    target.port = options.server.port;
  }
  target.headers = options.load.headers;
  const std::string key = options.server.api_keys.empty() ? options.server.environment_api_key.value_or("")
                                                          : options.server.api_keys.front();
  if (key.empty()) return target;
  const auto header = http::parse_header("Authorization=Bearer " + key);
  if (!header.ok()) return absl::InvalidArgumentError("--api-key: has a line end");
  target.headers.push_back(*header);
  return target;
}

absl::StatusOr<std::vector<TraceRow>> read_trace(const LoadOptions& options) {
  if (options.trace.empty()) return std::vector<TraceRow>();
  std::ifstream in(options.trace, std::ios::binary);
  std::string text(kTraceBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  const bool opened = in.is_open() && !in.bad();
  if (!opened) return absl::NotFoundError(absl::StrCat("--trace: ", options.trace, " cannot be read"));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kTraceBytesMax) return absl::InvalidArgumentError("--trace: a file of more than 64 MiB");
  auto rows = parse_trace(text);
  if (!rows.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--trace: ", options.trace, ": ", rows.status().message()));
  }
  if (rows->size() > static_cast<size_t>(options.prompts)) rows->resize(static_cast<size_t>(options.prompts));
  return rows;
}

WorkloadOptions workload_of(const LoadOptions& o, const Dialect& dialect, uint64_t seed) {
  const bool ids = dialect.takes_ids && o.prompt_form != "text";
  return {.conversations = o.prompts,
          .turns = o.turns,
          .prompt_len = o.input_len,
          .output_len = o.output_len,
          .prefix_len = o.prefix_len,
          .n_prefixes = o.n_prefixes,
          .vocab = o.vocab,
          .form = dialect.chats ? PromptForm::kMessages
                  : ids         ? PromptForm::kIds
                                : PromptForm::kText,
          .seed = seed};
}

std::vector<double> due_times(const LoadOptions& o, const std::vector<TraceRow>& trace, uint64_t seed) {
  std::vector<double> due;
  due.reserve(trace.size());
  for (const TraceRow& row : trace) due.push_back(row.seconds);
  if (!trace.empty() || std::isinf(o.arrivals.rate)) return due;
  Arrivals arrivals(o.arrivals, seed);
  for (int i = 0; i < o.prompts; ++i) due.push_back(arrivals.next());
  return due;
}

absl::Status write_results(const Options& options, const RunFacts& facts, const Measures& m, const RunResult& run) {
  std::fputs(report_table(facts, m).c_str(), stdout);
  std::string path = options.bench.output_json;
  if (path.empty() && options.load.save_result) path = kResultFile;
  if (!path.empty()) RETURN_IF_ERROR(base::write_file(path, base::to_text(report_json(facts, m, run)) + "\n"));
  if (options.load.svg.empty()) return absl::OkStatus();
  const std::string title = absl::StrCat(facts.model.empty() ? facts.url : facts.model, ": ", m.completed,
                                         " requests, ", options.load.backend);
  return base::write_file(options.load.svg, plot_svg(title, m, run));
}

// Requests whose figures are not kept. Their prompts are others than those of the run.
absl::Status warm_up(http::HttpClient& client, const http::Target& target, RunnerOptions runner,
                     WorkloadOptions workload, int requests) {
  if (requests == 0) return absl::OkStatus();
  runner.open_loop = false;
  workload.conversations = requests;
  workload.turns = 1;
  workload.seed = ~workload.seed;
  return Runner(client, target, runner, workload).run({}, {}).status();
}

}  // namespace

absl::Status bench_serve(const Options& options) {
  const LoadOptions& o = options.load;
  const Dialect& dialect = *find_dialect(o.backend);
  RETURN_IF_ERROR(check_flags(o, dialect));
  ASSIGN_OR_RETURN(const http::Target target, target_of(options));
  ASSIGN_OR_RETURN(const std::vector<TraceRow> trace, read_trace(o));
  const uint64_t seed = options.model.seed.value_or(0);
  WorkloadOptions workload = workload_of(o, dialect, seed);
  if (!trace.empty()) workload.conversations = static_cast<int>(trace.size());
  const int connections = o.concurrency_max > 0 ? o.concurrency_max : std::min(sockets_max(), kConnectionsMax);
  ASSIGN_OR_RETURN(auto client,
                   http::HttpClient::make(target, {.connections_max = connections, .timeout_s = o.timeout_s}));

  std::string model = options.model.served_names.empty() ? options.model.name : options.model.served_names.front();
  const bool needs_model = dialect.path.starts_with("/v1/");
  if (model.empty() && needs_model) {
    ASSIGN_OR_RETURN(model, first_model(*client, target));
  }
  const RunnerOptions runner{.dialect = &dialect,
                             .path = o.endpoint.empty() ? std::string(dialect.path) : o.endpoint,
                             .ask = {.model = needs_model ? model : "",
                                     .temperature = options.run.temperature,
                                     .top_p = options.run.top_p,
                                     .top_k = options.run.top_k,
                                     .ignore_eos = o.ignore_eos,
                                     .return_token_ids = o.return_token_ids},
                             .open_loop = !trace.empty() || !std::isinf(o.arrivals.rate),
                             .concurrency_max = connections};
  RETURN_IF_ERROR(warm_up(*client, target, runner, workload, o.warmups));
  Runner run(*client, target, runner, workload);
  ASSIGN_OR_RETURN(const RunResult result, run.run(due_times(o, trace, seed), trace));
  const Measures measures = measure(result, o.bounds);
  const std::string url = absl::StrCat("http://", target.authority(), target.base_path, runner.path);
  const RunFacts facts{o, url, model, seed, workload.conversations * workload.turns};
  RETURN_IF_ERROR(write_results(options, facts, measures, result));
  return measures.completed > 0 ? absl::OkStatus() : absl::UnavailableError("no request completed");
}

}  // namespace polymath::commands::load
