#include "commands/doctor/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace polymath::commands {
namespace {

using testing::HasSubstr;

struct Case {
  const char* name;
  const char* metrics;
  Level level;
  const char *what, *help;  // parts of the sentences
};

// The guide's troubleshooting and alerts first (out of memory, uneven experts, queue, KV cache, latency), then ours.
constexpr Case kCases[] = {
    {"out of memory: no KV blocks are left", "vllm:kv_cache_usage_perc 0.97\n", Level::kProblem,
     "hold 97 % of the KV cache", "--gpu-memory-utilization"},
    {"out of memory: requests are preempted", "vllm:num_preemptions_total 50\npolymath:admitted_requests_total 1000\n",
     Level::kProblem, "50 times a running request lost its KV blocks", "--max-num-seqs down"},
    {"uneven experts",
     "polymath:expert_imbalance{layer=\"3\"} 6.5\npolymath:expert_imbalance{layer=\"4\"} 1.2\n"
     "polymath:estimated_imbalance_microseconds_total{over=\"ranks\"} 12500000\n",
     Level::kNote, "layer 3: 6.5 times the mean; ranks waited some 12.5 s", "--max-num-seqs"},
    {"queue with KV room",
     "vllm:num_requests_waiting 250\nvllm:num_requests_running 64\nvllm:kv_cache_usage_perc 0.3\n", Level::kProblem,
     "250 requests wait while 64 run", "raise --max-num-seqs"},
    {"queue without KV room", "vllm:num_requests_waiting 250\nvllm:kv_cache_usage_perc 0.9\n", Level::kProblem,
     "250 requests wait", "the KV cache is what bounds it"},
    {"latency: waiting",
     "vllm:e2e_request_latency_seconds_bucket{le=\"40\"} 0\nvllm:e2e_request_latency_seconds_bucket{le=\"60\"} 100\n"
     "vllm:e2e_request_latency_seconds_bucket{le=\"+Inf\"} 100\n"
     "vllm:request_queue_time_seconds_bucket{le=\"40\"} 100\nvllm:request_queue_time_seconds_bucket{le=\"+Inf\"} 100\n",
     Level::kProblem, "longer than 59 s (queue 38.0, prompt 0.0, answer 0.0)", "waiting takes most of it"},
    {"refused at the queue", "vllm:admission_rejections_total{reason=\"max_num_queued_reqs\"} 7\n", Level::kNote,
     "7 requests found the queue full (max_num_queued_reqs)", "--max-num-queued-reqs"},
    {"prefix cache without hits", "vllm:prefix_cache_queries_total 1000000\nvllm:prefix_cache_hits_total 10000\n",
     Level::kNote, "finds 1.0 % of the prompts' tokens", "same replica"},
    {"errors",
     "vllm:request_success_total{finished_reason=\"error\"} 5\nvllm:request_success_total{finished_reason=\"stop\"} "
     "95\n",
     Level::kProblem, "5 of 100 requests ended with an error", "log"},
    {"NaN", "vllm:corrupted_requests_total 2\n", Level::kProblem, "2 requests met logits", "--dtype float32"},
    {"memory beside the plan",
     "polymath:memory_planned_bytes{kind=\"weights\"} 1073741824\npolymath:memory_bytes{kind=\"weights\"} 2147483648\n",
     Level::kNote, "memory of weights: 2.0 GiB instead of the planned 1.0 GiB", "report"},
    {"drafts", "vllm:spec_decode_num_draft_tokens_total 5000\nvllm:spec_decode_num_accepted_tokens_total 500\n",
     Level::kNote, "10 % of the draft tokens", "--speculative-config"},
    {"files", "process_open_fds 950\nprocess_max_fds 1024\n", Level::kProblem, "950 of 1,024 files", "ulimit -n"},
    {"dropped choices", "polymath:expert_dropped_tokens_total 12\n", Level::kNote, "12 choices of experts were dropped",
     "capacity"},
    {"certificate", "polymath:tls_certificate_expiry_timestamp_seconds 1000864000\n", Level::kProblem,
     "ends in 10 days", "--enable-ssl-refresh"},
};

TEST(Doctor, SaysWhatIsWrongWithAServer) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto metrics = Exposition::parse(c.metrics);
    ASSERT_TRUE(metrics.ok()) << metrics.status();
    const auto findings = findings_of_server(*metrics, 1e9);
    ASSERT_EQ(findings.size(), 1u) << findings_text(findings);
    EXPECT_EQ(findings[0].level, c.level);
    EXPECT_THAT(findings[0].what, HasSubstr(c.what));
    EXPECT_THAT(findings[0].help, HasSubstr(c.help));
  }
}

TEST(Doctor, FindsNothingWhereNothingIsWrong) {
  const auto metrics = Exposition::parse(
      "vllm:num_requests_waiting 3\nvllm:num_requests_running 10\nvllm:kv_cache_usage_perc 0.5\n"
      "vllm:num_preemptions_total 1\npolymath:admitted_requests_total 1000\n"
      "polymath:expert_imbalance{layer=\"3\"} 1.5\nvllm:prefix_cache_queries_total 1000000\n"
      "vllm:prefix_cache_hits_total 400000\nprocess_open_fds 50\nprocess_max_fds 1024\n"
      "polymath:memory_planned_bytes{kind=\"weights\"} 5\npolymath:memory_bytes{kind=\"weights\"} 5\n");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(findings_text(findings_of_server(*metrics)), "nothing is wrong\n");
}

// The guide: a load of more than ten minutes.
TEST(Doctor, TellsASlowDisk) {
  const Finding slow = disk_finding(100.0 * (1 << 30), 100.0 * (1 << 20));
  EXPECT_EQ(slow.level, Level::kProblem);
  EXPECT_EQ(slow.what, "the weights' 100.0 GiB take 1,024 s to read at 100.0 MiB/s");
  EXPECT_THAT(slow.help, HasSubstr("FSx for Lustre"));
  EXPECT_EQ(disk_finding(100.0 * (1 << 30), 2.0 * (1 << 30)).level, Level::kFine);
}

TEST(Doctor, ReadsAModelsFiles) {
  const std::string directory = testing::TempDir() + "/doctor_model";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  EXPECT_EQ(findings_of_disk(directory).status().code(), absl::StatusCode::kNotFound);
  std::ofstream(directory + "/model.safetensors") << std::string(1 << 20, 'x');
  const auto findings = findings_of_disk(directory);
  ASSERT_TRUE(findings.ok()) << findings.status();
  EXPECT_THAT(findings->at(0).what, HasSubstr("the weights' 1.0 MiB take"));
}

TEST(Doctor, PutsProblemsFirst) {
  EXPECT_EQ(findings_text({{Level::kFine, "a", ""}, {Level::kProblem, "b", "c"}, {Level::kNote, "d", ""}}),
            "PROBLEM: b\n  help: c\nnote: d\nfine: a\n");
}

}  // namespace
}  // namespace polymath::commands
