// The command line: both spellings, ranges, refusals, and the nearest name of an unknown flag.

#include "commands/flags/flags.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "commands/flags/flag_values.h"

namespace polymath::commands {
namespace {

TEST(Flags, BothSpellingsAndBothForms) {
  const auto o = parse_flags(kServe, {"m", "--max_model_len", "32K", "--max-num-seqs=7", "--served-model-name", "a",
                                      "b", "--no-enable-prefix-caching", "--kv-cache-memory-bytes=2Gi", "-tp", "1"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->model.name, "m");
  EXPECT_EQ(o->model.max_model_len, 32768);
  EXPECT_EQ(o->runtime.sequences, 7);
  EXPECT_EQ(o->model.served_names, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(o->runtime.prefix_caching);
  EXPECT_EQ(o->runtime.kv_bytes, int64_t{2} << 30);
}

TEST(Flags, PromptsOfTheBench) {
  EXPECT_FALSE(parse_flags(kBench, {"m"})->bench.same_tokens);
  EXPECT_TRUE(parse_flags(kBench, {"m", "--prompts", "same"})->bench.same_tokens);
  EXPECT_FALSE(parse_flags(kBench, {"m", "--prompts=random"})->bench.same_tokens);
  EXPECT_EQ(parse_flags(kBench, {"m", "--prompts", "equal"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(parse_flags(kServe, {"m", "--prompts", "same"}).ok());
}

TEST(Flags, PrefillsOfTheBench) {
  const auto o = parse_flags(kBench, {"m", "--prefill-len", "2048", "--prefill-len=4x512"});
  ASSERT_TRUE(o.ok()) << o.status();
  const auto prefills = o->bench.timed_prefills();
  ASSERT_EQ(prefills.size(), 2u);
  EXPECT_EQ(prefills[0].prompts, 1);
  EXPECT_EQ(prefills[0].length, 2048);
  EXPECT_EQ(prefills[1].tokens(), 4 * 512);
  EXPECT_EQ(parse_flags(kBench, {"m", "--input-len", "96"})->bench.timed_prefills().front().tokens(), 96);
  for (const char* bad : {"x", "0", "4x", "x512", "0x512", "4x0", "4x512x2", "-1", "999999999x999999999"}) {
    EXPECT_EQ(parse_flags(kBench, {"m", "--prefill-len", bad}).status().code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST(Flags, AutoAndMinusOneMeanWhatFits) {
  for (const char* value : {"auto", "-1"}) {
    const auto o = parse_flags(kServe, {"m", "--max-model-len", value});
    ASSERT_TRUE(o.ok()) << o.status();
    EXPECT_EQ(o->model.max_model_len, 0);
  }
}

struct Refusal {
  std::vector<std::string> arguments;
  absl::StatusCode code;
  const char* says;
};

TEST(Flags, Refusals) {
  using enum absl::StatusCode;
  const Refusal rows[] = {
      {{}, kInvalidArgument, "no model"},
      {{"m", "n"}, kInvalidArgument, "one argument too many"},
      {{"m", "--model", "n"}, kInvalidArgument, "two models"},
      {{"m", "--max-model-length", "9"}, kInvalidArgument, "nearest is --max-model-len"},
      {{"m", "--prot", "9"}, kInvalidArgument, "nearest is --port"},
      {{"m", "--port", "70000"}, kInvalidArgument, "--port: must be between 0 and 65535"},
      {{"m", "--port", "x"}, kInvalidArgument, "not a whole number"},
      {{"m", "--step-timeout", "1"}, kInvalidArgument, "must be 0 or at least 2"},
      {{"m", "--watchdog-config", R"({"a":1})"}, kUnimplemented, "--step-timeout and --startup-timeout"},
      {{"m", "--max-num-seqs", "0"}, kInvalidArgument, "must be between 1"},
      {{"m", "--dtype", "int8"}, kInvalidArgument, "is not one of"},
      {{"m", "--kv-cache-dtype", "fp16"}, kUnimplemented, "is not built"},
      {{"m", "-tp", "65"}, kInvalidArgument, "--tensor-parallel-size: must be between 1 and 64"},
      {{"m", "-pp", "65"}, kInvalidArgument, "--pipeline-parallel-size: must be between 1 and 64"},
      {{"m", "--pipeline-layers", "4,,4"}, kInvalidArgument, "--pipeline-layers: `` is not a whole number"},
      {{"m", "--pipeline-layers", "4,0"}, kInvalidArgument, "--pipeline-layers: must be between 1 and 2048"},
      {{"m", "-dp", "65"}, kInvalidArgument, "--data-parallel-size: must be between 1 and 64"},
      {{"m", "--eplb-config", "{\"windows\":1}"}, kInvalidArgument, "there is no key `windows`"},
      {{"m", "--eplb-config", "7"}, kInvalidArgument, "must be a JSON object"},
      {{"m", "--eplb-config", R"({"window_size":0})"}, kInvalidArgument, "window_size must be between 1 and"},
      {{"m", "--eplb-config", R"({"use_async":false})"}, kUnimplemented, "cannot be switched off"},
      {{"m", "--eplb-config", R"({"policy":"x"})"}, kUnimplemented, "only `default` is built"},
      {{"m", "--eplb-config.window_size", "0"}, kInvalidArgument, "must be between 1 and"},
      {{"m", "--quantization=quip"}, kInvalidArgument, "must be none, gguf, int8, fp8"},
      {{"m", "--lora-modules", "x"}, kInvalidArgument, "--lora-modules: takes NAME=PATH"},
      {{"m", "--max-loras", "65"}, kInvalidArgument, "between 1 and 64"},
      {{"m", "--max-lora-rank", "0"}, kInvalidArgument, "between 1 and 512"},
      {{"m", "--speculative-config", R"({"method":"mtp"})"}, kUnimplemented, "`mtp` is not built"},
      {{"m", "--speculative-model", "d"}, kUnimplemented, "--speculative-config"},
      {{"m", "--no-enable-chunked-prefill"}, kUnimplemented, "always chunked"},
      {{"m", "--device", "tpu"}, kInvalidArgument, "is not one of"},
      {{"m", "--gpu-memory-utilization", "2"}, kInvalidArgument, "between 0.01 and 1"},
      {{"m", "--kv-cache-memory-bytes", "12Q"}, kInvalidArgument, "unknown unit"},
  };
  for (const Refusal& row : rows) {
    const auto o = parse_flags(kServe, row.arguments);
    ASSERT_FALSE(o.ok()) << row.says;
    EXPECT_EQ(o.status().code(), row.code) << o.status();
    EXPECT_NE(std::string(o.status().message()).find(row.says), std::string::npos) << o.status();
  }
}

TEST(Flags, WhatChangesNothingIsAcceptedAloud) {
  const auto o = parse_flags(kServe, {"m", "--enforce-eager", "--trust-remote-code", "--gpu-memory-utilization", "0.9",
                                      "--quantization", "none", "--no-enable-lora", "--pipeline-parallel-size=1"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->warnings.size(), 1u);
  EXPECT_TRUE(o->runtime.eager);
  EXPECT_EQ(o->runtime.memory_share, 0.9);
}

TEST(Flags, ExpertBalancing) {
  const struct {
    std::vector<std::string> arguments;
    model::BalanceOptions balance;
  } rows[] = {
      {{"m", "--enable-eplb"}, {}},
      {{"m", "--enable-eplb", "--num-redundant-experts", "4", "--eplb-window-size=7", "--eplb-step-interval", "9"},
       {4, 7, 9}},
      {{"m", "--enable-eplb", "--eplb-config",
        R"({"num_redundant_experts":2,"window_size":5,"policy":"default","use_async":true,"log_balancedness":true})"},
       {2, 5, 3000, true}},
      {{"m", "--enable-eplb", "--eplb-config.step_interval", "6", "--eplb-config.log_balancedness",
        "--eplb-config.log_balancedness_interval=3"},
       {0, 1000, 6, true, 3}},
  };
  for (const auto& row : rows) {
    const auto o = parse_flags(kServe, row.arguments);
    ASSERT_TRUE(o.ok()) << o.status();
    EXPECT_TRUE(o->runtime.moves_experts);
    const model::BalanceOptions &got = o->runtime.balance, &wanted = row.balance;
    EXPECT_EQ(got.n_redundant, wanted.n_redundant);
    EXPECT_EQ(got.window_steps, wanted.window_steps);
    EXPECT_EQ(got.interval_steps, wanted.interval_steps);
    EXPECT_EQ(got.logs, wanted.logs);
    EXPECT_EQ(got.log_steps, wanted.log_steps);
  }
}

TEST(Flags, AdaptersAndSpeculation) {
  const auto o = parse_flags(
      kServe, {"m", "--enable-lora", "--lora-modules", "a=/x", R"({"name":"b","path":"/y"})", "--max-lora-rank=8",
               "--speculative-config", R"({"method":"ngram","num_speculative_tokens":4})"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_TRUE(o->model.adapters.enabled);
  ASSERT_EQ(o->model.adapters.modules.size(), 2u);
  EXPECT_EQ(o->model.adapters.modules[1].name, "b");
  EXPECT_EQ(o->model.adapters.rank_max, 8);
  EXPECT_FALSE(o->model.adapters.n_max.has_value());
  EXPECT_EQ(o->runtime.speculation.method, "ngram");
  EXPECT_EQ(o->runtime.speculation.n_draft_max, 4);
}

// Of `run` the seed also decides the answer, of all verbs the dummy weights.
TEST(Flags, TheSeedGoesToWeightsAndAnswers) {
  const auto o = parse_flags(kRun, {"m", "--seed", "-5"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->model.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(o->run.seed, o->model.seed);
}

TEST(Flags, OriginsAsJsonOrWords) {
  for (const std::vector<std::string>& form :
       {std::vector<std::string>{"--allowed-origins", R"(["http://a","http://b"])"},
        {"--allowed-origins", "http://a,http://b"}}) {
    std::vector<std::string> arguments = {"m"};
    arguments.insert(arguments.end(), form.begin(), form.end());
    const auto o = parse_flags(kServe, arguments);
    ASSERT_TRUE(o.ok()) << o.status();
    EXPECT_EQ(o->server.origins, (std::vector<std::string>{"http://a", "http://b"}));
  }
}

TEST(Flags, WhatClientsMeetByDefault) {
  const auto plain = parse_flags(kServe, {"m"});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_TRUE(plain->server.origins.empty()) << "no CORS, as vLLM";
  EXPECT_EQ(plain->server.stop_strings, 64);
  EXPECT_EQ(plain->server.keep_alive_s, 15);
  EXPECT_FALSE(plain->server.clamp_max_tokens);
  EXPECT_EQ(plain->runtime.waiting_tokens, 0);
  const auto asked =
      parse_flags(kServe, {"m", "--sse-keep-alive-interval", "0", "--clamp-max-tokens", "--max-stop-strings=4",
                           "--max-num-queued-tokens", "100000", "--max-num-queued-reqs=3000"});
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->server.keep_alive_s, 0);
  EXPECT_TRUE(asked->server.clamp_max_tokens);
  EXPECT_EQ(asked->server.stop_strings, 4);
  EXPECT_EQ(asked->runtime.waiting_tokens, 100000);
  EXPECT_EQ(asked->runtime.waiting, 3000);
}

TEST(Flags, HowTheProcessEnds) {
  const auto plain = parse_flags(kServe, {"m"});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->server.drain_delay_s, 0);
  EXPECT_EQ(plain->server.step_timeout_s, 300);
  EXPECT_EQ(plain->server.startup_timeout_s, 0);
  EXPECT_FALSE(plain->server.dry_run || plain->server.allow_core_dumps);
  const auto asked = parse_flags(kServe, {"m", "--drain-delay", "5", "--step-timeout=0", "--startup-timeout", "60",
                                          "--dry-run", "--allow-core-dumps", "--watchdog-config", "{}"});
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->server.drain_delay_s, 5);
  EXPECT_EQ(asked->server.step_timeout_s, 0);
  EXPECT_EQ(asked->server.startup_timeout_s, 60);
  EXPECT_TRUE(asked->server.dry_run && asked->server.allow_core_dumps);
}

TEST(Flags, MetricsAndTheirBounds) {
  const auto o = parse_flags(kServe, {"m", "--metrics-compat", "v0.6.3,tgi", "--disable-log-stats",
                                      "--custom-histogram-buckets", R"({"request_latency":[0.5,1]})"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_TRUE(o->runtime.metrics.vllm_063 && o->runtime.metrics.tgi);
  EXPECT_EQ(o->runtime.metrics.log_seconds, 0);
  ASSERT_EQ(o->server.histogram_bounds.size(), 5u);
  EXPECT_EQ(o->server.histogram_bounds[0].bounds, (std::vector<double>{0.5, 1}));
  const auto plain = parse_flags(kServe, {"m"});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_FALSE(plain->runtime.metrics.vllm_063 || plain->runtime.metrics.tgi || plain->server.dcgm_metrics);
  EXPECT_TRUE(parse_flags(kServe, {"m", "--metrics-compat", "dcgm"})->server.dcgm_metrics);
  EXPECT_EQ(plain->runtime.metrics.log_seconds, 10);
  EXPECT_FALSE(parse_flags(kServe, {"m", "--metrics-compat", "sglang"}).ok());
  for (const char* bounds : {"[]", R"({"latency":[1]})", R"({"request_latency":[]})", R"({"request_latency":[2,1]})",
                             R"({"request_latency":[0,1]})", R"({"request_latency":["1"]})", "{"}) {
    EXPECT_EQ(parse_flags(kServe, {"m", "--custom-histogram-buckets", bounds}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << bounds;
  }
}

TEST(Flags, SynonymsOfTheNewest) {
  const auto o = parse_flags(kServe, {"m", "--device-memory-utilization", "0.5", "--spec-method=ngram", "--spec-tokens",
                                      "3", "--enable-force-include-usage"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->runtime.memory_share, 0.5);
  EXPECT_EQ(o->runtime.speculation.method, "ngram");
  EXPECT_EQ(o->runtime.speculation.n_draft_max, 3);
  EXPECT_TRUE(o->server.force_usage);
  EXPECT_EQ(parse_flags(kServe, {"m", "--spec-method", "mtp"}).status().code(), absl::StatusCode::kUnimplemented);
}

// vllm_flags.txt lists what vLLM's users may pass.
TEST(Flags, EveryFlagOfVllmHasARow) {
  std::set<std::string> known;
  for (const Flag& flag : flag_table()) {
    if ((flag.verbs & kServe) != 0) known.insert(std::string(flag.name));
  }
  std::ifstream in(std::string(POLYMATH_SOURCE_DIR) + "/src/commands/flags/vllm_flags.txt");
  int n = 0;
  for (std::string name; std::getline(in, name);) {
    if (name.empty() || name[0] == '#') continue;
    EXPECT_TRUE(known.contains(name)) << name;
    ++n;
  }
  EXPECT_GT(n, 150);
}

TEST(Flags, EachNameStandsOnceAndIsDocumented) {
  std::set<std::string_view> names;
  for (const Flag& flag : flag_table()) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name;
    EXPECT_FALSE(flag.help.empty()) << flag.name;
    EXPECT_EQ(flag.name.find('_'), std::string_view::npos) << flag.name;
    EXPECT_NE(flag.verbs, 0) << flag.name;
    const bool takes_value = flag.kind != FlagKind::kSwitch;
    EXPECT_EQ(flag.value.empty(), !takes_value) << flag.name << ": only a value has a name in the help";
    EXPECT_TRUE(flag.apply == nullptr || flag.neutral.empty()) << flag.name << ": neutral values are of refused flags";
  }
  std::ifstream in(std::string(POLYMATH_SOURCE_DIR) + "/docs/operate/flags.md");
  const std::string page((std::istreambuf_iterator<char>(in)), {});
  EXPECT_NE(page.find(flags_markdown()), std::string::npos)
      << "docs/operate/flags.md is older than the table: replace its tables by what `polymath flags` prints";
}

}  // namespace
}  // namespace polymath::commands
