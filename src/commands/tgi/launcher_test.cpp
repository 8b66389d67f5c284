#include "commands/tgi/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "commands/flags/flags.h"

namespace polymath::commands {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

using Variables = std::map<std::string, std::string>;

absl::StatusOr<LauncherPlan> plan(const std::string& arguments, const Variables& variables = {}) {
  return plan_launch(absl::StrSplit(arguments, ' ', absl::SkipEmpty()),
                     [&](std::string_view name) -> std::optional<std::string> {
                       const auto at = variables.find(std::string(name));
                       return at == variables.end() ? std::nullopt : std::optional(at->second);
                     });
}

std::string arguments_of(const std::string& arguments, const Variables& variables = {}) {
  const auto made = plan(arguments, variables);
  return made.ok() ? absl::StrJoin(made->arguments, " ") : std::string(made.status().message());
}

TEST(Launcher, FlagsAndVariablesBecomeFlagsOfServe) {
  const struct {
    const char* name;
    const char* value;
    const char* becomes;
  } rows[] = {
      {"REVISION", "main", "--revision main"},
      {"NUM_SHARD", "2", "--tensor-parallel-size 2"},
      {"SPECULATE", "3", R"(--speculative-config {"method":"ngram","num_speculative_tokens":3})"},
      {"DTYPE", "bfloat16", "--dtype bfloat16"},
      {"MAX_CONCURRENT_REQUESTS", "64", "--max-num-queued-reqs 64"},
      {"MAX_BEST_OF", "3", "--max-best-of 3"},
      {"MAX_STOP_SEQUENCES", "8", "--max-stop-strings 8"},
      {"MAX_TOP_N_TOKENS", "9", "--max-top-n-tokens 9"},
      {"MAX_INPUT_TOKENS", "1024", "--max-input-tokens 1024"},
      {"MAX_INPUT_LENGTH", "1024", "--max-input-tokens 1024"},
      {"MAX_TOTAL_TOKENS", "4096", "--max-model-len 4096"},
      {"MAX_BATCH_PREFILL_TOKENS", "4096", "--max-num-batched-tokens 4096"},
      {"MAX_BATCH_TOTAL_TOKENS", "16001", "--num-gpu-blocks-override 1001"},
      {"MAX_BATCH_SIZE", "32", "--max-num-seqs 32"},
      {"CUDA_GRAPHS", "0", "--enforce-eager"},
      {"HOSTNAME", "::1", "--host ::1"},
      {"HOSTNAME", "3f2a91c0ffee", "--host 0.0.0.0"},
      {"PORT", "8080", "--port 8080"},
      {"PROMETHEUS_PORT", "9001", "--probe-port 9001"},
      {"CUDA_MEMORY_FRACTION", "0.8", "--gpu-memory-utilization 0.8"},
      {"ROPE_SCALING", "dynamic", R"(--hf-overrides {"rope_scaling":{"rope_type":"dynamic","factor":1}})"},
      {"ROPE_FACTOR", "2.5", R"(--hf-overrides {"rope_scaling":{"rope_type":"linear","factor":2.5}})"},
      {"CORS_ALLOW_ORIGIN", "http://a,http://b", "--allowed-origins http://a,http://b"},
      {"API_KEY", "secret", "--api-key secret"},
      {"MAX_CLIENT_BATCH_SIZE", "16", "--max-client-batch-size 16"},
      {"LORA_ADAPTERS", "org/one,two=/two", "--enable-lora --lora-modules org/one=org/one two=/two"},
      {"PAYLOAD_LIMIT", "1000000", "--max-request-body-bytes 1000000"},
      {"GRACEFUL_TERMINATION_TIMEOUT", "5", "--shutdown-timeout 5"},
      {"PREFIX_CACHING", "false", "--no-enable-prefix-caching"},
      {"LOG_LEVEL", "DEBUG,text_generation_router=trace", "--log-level debug"},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(arguments_of("--model-id m", {{row.name, row.value}}), HasSubstr(row.becomes)) << row.name;
    std::string flag = absl::StrCat("--", row.name);
    for (char& c : flag) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    EXPECT_THAT(arguments_of(absl::StrCat("--model-id m ", flag, " ", row.value)), HasSubstr(row.becomes)) << flag;
    EXPECT_THAT(arguments_of(absl::StrCat("--model-id=m ", flag, "=", row.value)), HasSubstr(row.becomes)) << flag;
  }
}

TEST(Launcher, TgisDefaultsBoundTheServer) {
  const std::string all = arguments_of("", {{"MODEL_ID", "m"}});
  for (const char* words :
       {"--model m", "--max-num-queued-reqs 128", "--max-best-of 2", "--max-stop-strings 4", "--max-top-n-tokens 5",
        "--max-client-batch-size 4", "--max-request-body-bytes 2000000", "--shutdown-timeout 90", "--host 0.0.0.0",
        "--port 3000", "--generation-config vllm", "--metrics-compat tgi", "--served-model-name m tgi dummy"}) {
    EXPECT_THAT(all, HasSubstr(words));
  }
}

// What the plan makes is a command line that serve takes.
TEST(Launcher, ServeTakesThePlan) {
  const auto made = plan("--model-id m --max-total-tokens 512 --max-input-tokens 500 --speculate 2 -p 0",
                         {{"ROPE_FACTOR", "2"}, {"CUDA_GRAPHS", "0"}, {"LORA_ADAPTERS", "a"}, {"LOG_LEVEL", "info"}});
  ASSERT_TRUE(made.ok()) << made.status();
  const auto options = parse_flags(kServe, made->arguments);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->model.max_model_len, 512);
  EXPECT_EQ(options->server.input_tokens, 500);
  EXPECT_EQ(options->server.best_of, 2);
  EXPECT_EQ(options->server.body_bytes, 2000000);
  EXPECT_EQ(options->server.port, 0);
  EXPECT_TRUE(options->runtime.eager);
  EXPECT_EQ(options->model.served_names.size(), 3u);
}

TEST(Launcher, AFlagWinsAndWhatIsBehindTheBarGoesToServe) {
  const std::string all =
      arguments_of("--model-id m --port 1 -- --seed 3 --port 2", {{"PORT", "4"}, {"MODEL_ID", "n"}});
  EXPECT_THAT(all, HasSubstr("--model m"));
  EXPECT_THAT(all, HasSubstr("--port 1"));
  EXPECT_TRUE(all.ends_with("--seed 3 --port 2")) << all;
}

TEST(Launcher, ALineForEach) {
  const auto made = plan("--model-id m --trust-remote-code", {{"MAX_TOTAL_TOKENS", "4096"},
                                                              {"API_KEY", "secret"},
                                                              {"HF_TOKEN", "hidden"},
                                                              {"CUDA_GRAPHS", "1,2"},
                                                              {"NGROK", "false"},
                                                              {"HUGGINGFACE_HUB_CACHE", "/cache"}});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->lines, Contains("MAX_TOTAL_TOKENS=4096 -> --max-model-len 4096"));
  EXPECT_THAT(made->lines, Contains("MAX_BEST_OF=2 (TGI's default) -> --max-best-of 2"));
  EXPECT_THAT(made->lines,
              Contains("--trust-remote-code=true has no effect: code from a model directory is never run"));
  EXPECT_THAT(made->lines, Contains("CUDA_GRAPHS=1,2 -> nothing to change"));
  EXPECT_THAT(made->lines, Contains("API_KEY=*** -> --api-key ***"));
  EXPECT_EQ(made->hub_cache, "/cache");
  const std::string all = absl::StrJoin(made->lines, "\n");
  EXPECT_THAT(all, Not(HasSubstr("secret")));
  EXPECT_THAT(all, Not(HasSubstr("hidden")));
  EXPECT_THAT(all, Not(HasSubstr("only this machine is answered")));
  EXPECT_THAT(absl::StrJoin(plan("--model-id m")->lines, "\n"), HasSubstr("only this machine is answered"));
  EXPECT_THAT(absl::StrJoin(plan("--model-id m -- --allow-anonymous")->lines, "\n"),
              Not(HasSubstr("only this machine is answered")));
}

TEST(Launcher, ATokenizerConfigGivesItsTemplate) {
  const std::string path = testing::TempDir() + "launcher_tokenizer_config.json";
  const auto becomes = [&](const std::string& config) {
    std::ofstream(path) << config;
    return arguments_of("--model-id m", {{"TOKENIZER_CONFIG_PATH", path}});
  };
  EXPECT_THAT(becomes(R"({"chat_template": "{{ a }}"})"), HasSubstr("--chat-template {{ a }}"));
  EXPECT_THAT(becomes(R"({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]})"),
              HasSubstr("--chat-template d"));
  EXPECT_THAT(becomes(R"({"bos_token": "<s>"})"), Not(HasSubstr("--chat-template")));
  EXPECT_THAT(becomes(R"({"chat_template": 3})"), HasSubstr("TOKENIZER_CONFIG_PATH: "));
  EXPECT_THAT(becomes("{"), HasSubstr("TOKENIZER_CONFIG_PATH: "));
  EXPECT_THAT(arguments_of("--model-id m", {{"TOKENIZER_CONFIG_PATH", path + ".none"}}),
              HasSubstr("TOKENIZER_CONFIG_PATH: "));
}

TEST(Launcher, FormatsOfWeightsAndCacheAreOurs) {
  EXPECT_THAT(arguments_of("--model-id m", {{"QUANTIZE", "awq"}}), HasSubstr("--quantization awq"));
  EXPECT_THAT(arguments_of("--model-id m --quantize eetq", {}), HasSubstr("--quantization int8"));
  EXPECT_THAT(arguments_of("--model-id m", {{"KV_CACHE_DTYPE", "fp8_e4m3fn"}}), HasSubstr("--kv-cache-dtype fp8_e4m3"));
  EXPECT_THAT(arguments_of("--model-id m", {{"KV_CACHE_DTYPE", "fp8_e5m2"}}), HasSubstr("--kv-cache-dtype fp8_e5m2"));
}

TEST(Launcher, RefusalsNameWhatTheyRefuse) {
  const struct {
    const char* arguments;
    Variables variables;
    const char* sentence;
  } rows[] = {
      {"", {}, "no model"},
      {"--model-id", {}, "--model-id needs a value"},
      {"--model-id m --max-totl-tokens 3", {}, "the nearest is --max-total-tokens"},
      {"--model-id m --ngrok", {}, "--ngrok: "},
      {"--model-id m", {{"OTLP_ENDPOINT", "http://a"}}, "OTLP_ENDPOINT: "},
      {"--model-id m", {{"AIP_PREDICT_ROUTE", "/other"}}, "AIP_PREDICT_ROUTE: "},
      {"--model-id m", {{"LORA_ADAPTERS", "a=b@c"}}, "LORA_ADAPTERS: "},
      {"--model-id m", {{"SPECULATE", "many"}}, "SPECULATE: "},
      {"--model-id m", {{"ROPE_SCALING", "yarn"}}, "ROPE_SCALING: "},
      {"--model-id m", {{"MAX_INPUT_LENGTH", "2"}, {"MAX_INPUT_TOKENS", "2"}}, "one of them must be left"},
      {"--model-id m", {{"MAX_INPUT_TOKENS", "9"}, {"MAX_TOTAL_TOKENS", "9"}}, "must be below MAX_TOTAL_TOKENS"},
  };
  for (const auto& row : rows) EXPECT_THAT(arguments_of(row.arguments, row.variables), HasSubstr(row.sentence));
  EXPECT_TRUE(plan("--model-id m", {{"AIP_PREDICT_ROUTE", "/vertex"}, {"NGROK", "false"}}).ok());
}

TEST(Launcher, EveryRowIsDocumented) {
  std::ifstream in(std::string(POLYMATH_SOURCE_DIR) + "/docs/operate/tgi.md");
  const std::string page((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(page, HasSubstr(launcher_markdown()));
}

}  // namespace
}  // namespace polymath::commands
