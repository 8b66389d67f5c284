#include "commands/load/report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace polymath::commands::load {
namespace {

const std::vector<double>& percentiles_of(const LoadOptions& options) {
  static const std::vector<double> kDefault = {50, 90, 95, 99};
  return options.percentiles.empty() ? kDefault : options.percentiles;
}

std::vector<Latency> shown_of(const LoadOptions& options) {
  if (!options.shown.empty()) return options.shown;
  return {Latency::kTtft, Latency::kTpot, Latency::kItl, Latency::kE2el};
}

bool all_by_server(const Measures& m) { return m.completed > 0 && m.prompts_by_server == m.completed; }

std::string arrivals_text(const LoadOptions& options) {
  const std::string bound = options.concurrency_max > 0 ? absl::StrCat(options.concurrency_max, " at once") : "";
  if (!options.trace.empty()) return absl::StrCat("open loop, trace ", options.trace, bound.empty() ? "" : ", ", bound);
  if (std::isinf(options.arrivals.rate)) return bound.empty() ? "all at once" : absl::StrCat("closed loop, ", bound);
  const double shape = options.arrivals.shape;
  const std::string kind = std::isinf(shape) ? "constant gaps"
                           : shape == 1      ? "Poisson"
                                             : absl::StrFormat("gamma, variation %.2f", 1 / std::sqrt(shape));
  return absl::StrCat("open loop, ", options.arrivals.rate, " requests/s (", kind, ")", bound.empty() ? "" : ", ",
                      bound);
}

std::string prompts_text(const LoadOptions& options) {
  std::string out = options.trace.empty()
                        ? absl::StrCat(options.input_len.text(), " tokens in, ", options.output_len.text(), " out")
                        : "lengths of the trace";
  if (options.prefix_len > 0) {
    absl::StrAppend(&out, ", after ", options.prefix_len, " shared in ", options.n_prefixes,
                    options.n_prefixes == 1 ? " group" : " groups");
  }
  if (options.turns > 1) absl::StrAppend(&out, ", ", options.turns, " turns");
  return out;
}

// "token_ids", or "token_ids 90.0 %, text_events 10.0 %".
std::string counted_text(const Measures& m) {
  const double sum = static_cast<double>(m.counted[0] + m.counted[1] + m.counted[2]);
  std::vector<std::string> out;
  for (size_t i = 0; i < m.counted.size(); ++i) {
    const double n = static_cast<double>(m.counted[i]);
    if (n > 0)
      out.push_back(n == sum ? kCountedByNames[i] : absl::StrFormat("%s %.1f %%", kCountedByNames[i], 100 * n / sum));
  }
  const int64_t unseen = m.output_tokens - static_cast<int64_t>(sum);
  if (unseen > 0) out.push_back(absl::StrCat("the last usage alone, without times: ", unseen));
  return out.empty() ? "nothing" : absl::StrJoin(out, ", ");
}

std::string goodput_text(const LoadOptions& options, const Measures& m) {
  std::vector<std::string> bounds;
  for (const Bound& bound : options.bounds) {
    bounds.push_back(absl::StrCat(std::string(kLatencyRows[static_cast<size_t>(bound.latency)].name), " ",
                                  bound.milliseconds_max, " ms"));
  }
  return absl::StrFormat("%.2f requests/s: %d of %d within %s", m.per_second(m.good), m.good, m.completed + m.failed,
                         absl::StrJoin(bounds, ", "));
}

std::string latency_table(const LoadOptions& options, const Measures& m) {
  std::string out = absl::StrFormat("\n%-24s %10s", "milliseconds", "mean");
  for (const double p : percentiles_of(options)) absl::StrAppendFormat(&out, " %10s", absl::StrCat("p", p));
  absl::StrAppendFormat(&out, " %10s\n", "max");
  for (const Latency latency : shown_of(options)) {
    const Distribution& d = m.latencies[static_cast<size_t>(latency)];
    absl::StrAppendFormat(&out, "%-24s", std::string(kLatencyRows[static_cast<size_t>(latency)].title));
    if (d.empty()) {
      out += "          - (no request has it)\n";
      continue;
    }
    absl::StrAppendFormat(&out, " %10.2f", d.mean());
    for (const double p : percentiles_of(options)) absl::StrAppendFormat(&out, " %10.2f", d.percentile(p));
    absl::StrAppendFormat(&out, " %10.2f\n", d.max());
  }
  return out;
}

base::JsonObject request_json(const Record& record) {
  base::JsonArray events;
  for (const TokenEvent& event : record.events) events.emplace_back(base::JsonArray{event.at, event.tokens});
  return {{"due", record.due},
          {"sent", record.sent},
          {"end", record.end},
          {"status", record.status},
          {"error", record.error},
          {"input_len", record.prompt_tokens > 0 ? record.prompt_tokens : record.prompt_asked},
          {"output_len", record.output_tokens},
          {"events", std::move(events)}};
}

// Infinite numbers are no JSON; vLLM writes them as text, too.
base::JsonValue number_json(double value) {
  return std::isinf(value) ? base::JsonValue("inf") : base::JsonValue(value);
}

// mean_ttft_ms, median_ttft_ms, std_ttft_ms, max_ttft_ms, p99_ttft_ms, ...
void add_latencies(const LoadOptions& options, const Measures& m, base::JsonObject& out) {
  for (const Latency latency : shown_of(options)) {
    const Distribution& d = m.latencies[static_cast<size_t>(latency)];
    if (d.empty()) continue;
    const std::string name = absl::StrCat("_", std::string(kLatencyRows[static_cast<size_t>(latency)].name), "_ms");
    out["mean" + name] = d.mean();
    out["median" + name] = d.percentile(50);
    out["std" + name] = d.deviation();
    out["max" + name] = d.max();
    for (const double p : percentiles_of(options)) out[absl::StrCat("p", p, name)] = d.percentile(p);
  }
}

}  // namespace

std::string report_table(const RunFacts& facts, const Measures& m) {
  const LoadOptions& o = facts.options;
  const int asked = m.completed + m.failed;
  std::string out =
      absl::StrCat(o.backend, " at ", facts.url, facts.model.empty() ? "" : ", model ", facts.model, "\n");
  absl::StrAppendFormat(&out, "%-12s%s\n", "arrivals", arrivals_text(o));
  absl::StrAppendFormat(&out, "%-12s%s\n", "prompts", prompts_text(o));
  absl::StrAppendFormat(&out, "%-12s%d of %d completed in %.2f s, %d failed", "requests", m.completed, facts.planned,
                        m.seconds, m.failed);
  if (asked < facts.planned) absl::StrAppendFormat(&out, ", %d turns after a failure not sent", facts.planned - asked);
  absl::StrAppendFormat(&out, "\n%-12s%.2f requests/s, %.1f output tok/s, %.1f tok/s in all\n", "throughput",
                        m.per_second(m.completed), m.per_second(static_cast<double>(m.output_tokens)),
                        m.per_second(static_cast<double>(m.output_tokens + m.prompt_tokens)));
  absl::StrAppendFormat(&out, "%-12s%d prompt (%s), %d output (counted by %s)\n", "tokens", m.prompt_tokens,
                        all_by_server(m) ? "counted by the server" : "as asked for", m.output_tokens, counted_text(m));
  if (!o.bounds.empty()) absl::StrAppendFormat(&out, "%-12s%s\n", "goodput", goodput_text(o, m));
  absl::StrAppendFormat(&out, "%-12s%.2f ms at p50, %.2f at p99 behind the arrival\n", "sent",
                        m.send_lag.percentile(50), m.send_lag.percentile(99));
  out += latency_table(o, m);
  if (!m.errors.empty()) out += "\nfailures, by status and sentence\n";
  for (const auto& [kind, failure] : m.errors) absl::StrAppendFormat(&out, "%8d  %s\n", failure.n, failure.example);
  return out;
}

base::JsonObject report_json(const RunFacts& facts, const Measures& m, const RunResult& run) {
  const LoadOptions& o = facts.options;
  base::JsonObject out{
      {"backend", o.backend},
      {"url", facts.url},
      {"model_id", facts.model},
      {"seed", facts.seed},
      {"request_rate", number_json(o.arrivals.rate)},
      {"burstiness", number_json(o.arrivals.shape)},
      {"trace", o.trace},
      {"input_len", o.input_len.text()},
      {"output_len", o.output_len.text()},
      {"prefix_len", o.prefix_len},
      {"num_prefixes", o.n_prefixes},
      {"turns", o.turns},
      {"num_prompts", facts.planned},
      {"completed", m.completed},
      {"failed", m.failed},
      {"duration", m.seconds},
      {"total_input_tokens", m.prompt_tokens},
      {"input_tokens_by_server", all_by_server(m)},
      {"total_output_tokens", m.output_tokens},
      {"request_throughput", m.per_second(m.completed)},
      {"output_throughput", m.per_second(static_cast<double>(m.output_tokens))},
      {"total_token_throughput", m.per_second(static_cast<double>(m.output_tokens + m.prompt_tokens))}};
  out["max_concurrency"] = nullptr;
  if (o.concurrency_max > 0) out["max_concurrency"] = o.concurrency_max;
  base::JsonObject counted;
  for (size_t i = 0; i < m.counted.size(); ++i) counted[kCountedByNames[i]] = m.counted[i];
  out["tokens_counted_by"] = std::move(counted);
  if (!o.bounds.empty()) out["request_goodput"] = m.per_second(m.good);
  out["p99_send_lag_ms"] = m.send_lag.percentile(99);
  base::JsonObject statuses;
  for (const auto& [status, n] : m.statuses) statuses[status] = n;
  out["failures_by_status"] = std::move(statuses);
  base::JsonObject failures;
  for (const auto& [kind, failure] : m.errors) failures[failure.example] = failure.n;
  out["failures"] = std::move(failures);
  add_latencies(o, m, out);
  if (!o.save_detailed) return out;
  base::JsonArray requests;
  for (const Record& record : run.records) requests.emplace_back(request_json(record));
  out["requests"] = std::move(requests);
  return out;
}

}  // namespace polymath::commands::load
