// goldens/<model>/<case>.txt: a request, a line "---", and the exact answer. Ids and times are masked.
//
//   POST /v1/completions
//   {"prompt": [1, 2]}
//   ---
//   200
//   {"id":"ID",...}
//
// POLYMATH_UPDATE_GOLDENS=1 rewrites the answers; read the diff before committing it.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "api/door.h"
#include "api/service.h"
#include "commands/runtime.h"
#include "commands/served.h"
#include "http_client.h"
#include "server/http_server.h"

namespace polymath::test {
namespace {

namespace fs = std::filesystem;

const std::string kSource = POLYMATH_SOURCE_DIR, kStandIn = POLYMATH_STAND_IN;

// `polymath serve` without its signals, on a free port.
class Running {
 public:
  Running(commands::ModelOptions model, api::ServiceOptions options, bool skip_tokenizer = false,
          int waiting_max = 4096) {
    commands::Options all{.model = std::move(model)};
    all.text.skip_tokenizer = skip_tokenizer;
    all.runtime = {.backend = "reference", .kv_bytes = 4 << 20, .step_tokens = 128, .sequences = 16};
    all.runtime.waiting = waiting_max;
    auto served = commands::build_served(all, metrics_);
    if (!served.ok()) throw std::runtime_error(std::string(served.status().message()));
    runtime_ = std::move(served->runtime);
    options.version = "test";
    options.facts = {.device = "reference", .requests_max = all.runtime.sequences + waiting_max, .workers = 2};
    service_ = std::make_unique<api::Service>(runtime_->engine(), std::move(served->model), options, metrics_);
    door_ = std::make_unique<api::Door>(options, metrics_);
    door_->open(*service_);
    http_ = std::make_unique<server::HttpServer>(server::HttpServerOptions{.host = "127.0.0.1", .port = 0});
    door_->install(*http_);
    runtime_->engine().start();
    if (!http_->start().ok()) throw std::runtime_error("no port");
    service_->set_ready(true);
  }
  ~Running() {
    runtime_->engine().drain(0);
    http_->stop(1);
  }
  uint16_t port() const { return http_->port(); }
  engine::Engine& engine() { return runtime_->engine(); }
  api::Service& service() { return *service_; }
  HttpAnswer post(const std::string& path, const std::string& body, const std::string& extra = "") const {
    return http_request(port(), "POST", path, body, extra);
  }

 private:
  base::MetricsRegistry metrics_;
  std::unique_ptr<commands::Runtime> runtime_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<api::Door> door_;
  std::unique_ptr<server::HttpServer> http_;
};

// "stand-in" has words; "ids" is a conformance model without a tokenizer.
Running& server_of(const std::string& name) {
  static Running words({.name = kStandIn, .served_names = {"stand-in", "alias"}, .max_model_len = 512}, {});
  static Running ids(
      {.name = kSource + "/tests/conformance/data/models/mixtral", .served_names = {"ids"}, .max_model_len = 64}, {},
      /*skip_tokenizer=*/true);
  return name == "ids" ? ids : words;
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Masks ids and times. Logarithms keep two digits: another CPU rounds differently.
std::string mask(std::string text) {
  text = std::regex_replace(text, std::regex("\"(chatcmpl|cmpl)-[0-9a-f]{32}\""), "\"$1-ID\"");
  text = std::regex_replace(text, std::regex("\"(resp|msg|rs|fc)_[0-9a-f]{32}"), "\"$1_ID");
  text = std::regex_replace(text, std::regex("\"request_id\":\"[0-9a-f]{32}\""), "\"request_id\":\"ID\"");
  text = std::regex_replace(text, std::regex("\"(created|created_at)\":[0-9]+"), "\"$1\":0");
  text = std::regex_replace(text, std::regex("\"seed\":[0-9]{9,}"), "\"seed\":0");  // a random one
  text = absl::StrReplaceAll(text, {{kStandIn, "models/stand-in"}, {kSource + "/", ""}});
  std::string out;
  const std::regex number("-?[0-9]\\.?[0-9]*E-?[0-9]+");
  auto at = text.cbegin();
  for (std::sregex_iterator it(text.begin(), text.end(), number), end; it != end; ++it) {
    out.append(at, (*it)[0].first);
    char rounded[32];
    std::snprintf(rounded, sizeof(rounded), "%.2f", std::atof(it->str().c_str()));
    out += rounded;
    at = (*it)[0].second;
  }
  return out.append(at, text.cend());
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, Answer) {
  const fs::path path = fs::path(kSource) / "tests/api/goldens" / GetParam();
  const std::string text = read(path);
  const size_t line = text.find('\n'), bar = text.find("\n---\n");
  ASSERT_NE(line, std::string::npos);
  ASSERT_NE(bar, std::string::npos);
  const std::string first = text.substr(0, line);
  const size_t blank = first.find(' ');
  const std::string body = bar > line ? text.substr(line + 1, bar - line - 1) : "";
  const Running& server = server_of(path.parent_path().filename().string());
  const HttpAnswer answer = http_request(server.port(), first.substr(0, blank), first.substr(blank + 1), body);
  const std::string got = std::to_string(answer.status) + "\n" + mask(answer.body) + "\n";
  if (std::getenv("POLYMATH_UPDATE_GOLDENS") != nullptr) {
    std::ofstream(path, std::ios::binary) << text.substr(0, bar + 5) << got;
    return;
  }
  EXPECT_EQ(got, text.substr(bar + 5));
}

std::vector<std::string> golden_files() {
  const fs::path root = fs::path(kSource) / "tests/api/goldens";
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".txt") files.push_back(fs::relative(entry.path(), root).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(golden_files()), [](const auto& info) {
  std::string name = info.param.substr(0, info.param.size() - 4);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

constexpr char kLong[] = R"({"prompt":"x","max_tokens":400,"ignore_eos":true,"stream":true,"n":4})";

bool idle_within(engine::Engine& engine, double seconds) {
  for (int i = 0; i < seconds * 100; ++i) {
    const engine::EngineStats stats = engine.stats();
    if (stats.running + stats.waiting == 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(Api, AClientThatLeavesStopsItsAnswer) {
  Running& server = server_of("stand-in");
  const uint64_t before = server.engine().stats().generated_tokens;
  http_request_and_leave(server.port(), "/v1/completions", kLong);
  EXPECT_TRUE(idle_within(server.engine(), 5));
  EXPECT_LT(server.engine().stats().generated_tokens - before, 1600u);
}

TEST(Api, ChoicesThatFillTheServerAreTakenAndMoreAre400) {
  Running server({.name = kStandIn, .max_model_len = 512}, {}, false, /*waiting_max=*/2);
  for (int i = 0; i < 20; ++i) {  // 16 run, 2 wait; one after the other, without a pause
    EXPECT_EQ(server.post("/v1/completions", R"({"prompt":"x","n":18,"max_tokens":3,"ignore_eos":true})").status, 200);
  }
  const HttpAnswer answer = server.post("/v1/completions", R"({"prompt":"x","n":19,"max_tokens":3})");
  EXPECT_EQ(answer.status, 400) << answer.body;
  EXPECT_NE(answer.body.find("--max-num-queued-reqs"), std::string::npos);
}

TEST(Api, KeysAreAskedForEverywhereButAtProbes) {
  Running server({.name = kStandIn, .max_model_len = 64}, {.api_keys = {"first", "second"}});
  const auto status = [&](const char* method, const char* path, const char* extra) {
    return http_request(server.port(), method, path, "", extra).status;
  };
  for (const char* path : {"/health", "/live", "/ready", "/ping", "/metrics"})
    EXPECT_EQ(status("GET", path, ""), 200) << path;
  EXPECT_EQ(status("GET", "/v1/models", ""), 401);
  EXPECT_EQ(status("POST", "/tokenize", ""), 401);
  EXPECT_EQ(status("GET", "/v1/models", "Authorization: Bearer third\r\n"), 401);
  EXPECT_EQ(status("GET", "/v1/models", "Authorization: Bearer \r\n"), 401);
  EXPECT_EQ(status("GET", "/v1/models", "Authorization: Bearer second\r\n"), 200);
  EXPECT_EQ(status("GET", "/v1/models", "Authorization: bearer first\r\n"), 200);
}

int cached_tokens(const Running& server, const std::string& key, const std::string& extra = "") {
  const std::string prompt = "a prompt of several blocks, which a second client must not find in the cache";
  const std::string body = absl::StrCat(R"({"max_tokens":1,"prompt":")", prompt, "\"", extra, "}");
  const HttpAnswer answer = server.post("/v1/completions", body, "Authorization: Bearer " + key + "\r\n");
  const auto json = base::parse_json(answer.body, {});
  if (!json.ok() || answer.status != 200) return -1;
  return static_cast<int>(json->at("usage").at("prompt_tokens_details").at("cached_tokens").to_number<int>());
}

TEST(Api, PrefixesAreFoundUnderTheSameKeyAlone) {
  Running server({.name = kStandIn, .max_model_len = 128}, {.api_keys = {"first", "second"}});
  EXPECT_EQ(cached_tokens(server, "first"), 0);
  EXPECT_GT(cached_tokens(server, "first"), 0);
  EXPECT_EQ(cached_tokens(server, "second"), 0);
  EXPECT_GT(cached_tokens(server, "second"), 0);
  EXPECT_EQ(cached_tokens(server, "second", R"(,"cache_salt":"x")"), 0);
  EXPECT_EQ(cached_tokens(server, "first", R"(,"cache_salt":"x")"), 0);
  EXPECT_EQ(cached_tokens(server, "first", R"(,"cache_salt":"key2")"), 0);
  // TGI's dialect shows no count; what it leaves in the cache is found by the same key through the other.
  const std::string inputs = "another prompt of several blocks, generated from in the other dialect first";
  const char* second = "Authorization: Bearer second\r\n";
  server.post("/generate", R"({"parameters":{"max_new_tokens":1},"inputs":")" + inputs + "\"}", second);
  const auto found = [&](const char* key) {
    const std::string body = R"({"max_tokens":1,"prompt":")" + inputs + "\"}";
    const auto json = base::parse_json(server.post("/v1/completions", body, key).body, {});
    return json->at("usage").at("prompt_tokens_details").at("cached_tokens").to_number<int>();
  };
  EXPECT_EQ(found("Authorization: Bearer first\r\n"), 0);
  EXPECT_GT(found(second), 0);
}

TEST(Api, ASwitchSharesPrefixesBetweenKeys) {
  Running server({.name = kStandIn, .max_model_len = 128},
                 {.api_keys = {"first", "second"}, .share_prefix_cache = true});
  EXPECT_EQ(cached_tokens(server, "first"), 0);
  EXPECT_GT(cached_tokens(server, "second"), 0);
  EXPECT_EQ(cached_tokens(server, "second", R"(,"cache_salt":"x")"), 0);
}

// 64 choices with the log-probabilities of a prompt of 400 tokens: 50 MiB. With 128 choices it is too much.
TEST(Api, AnAnswersSizeIsBoundedBeforeItBegins) {
  const Running& server = server_of("stand-in");
  std::string prompt = "5";
  for (int i = 1; i < 400; ++i) prompt += ",5";
  const std::string body = absl::StrCat(R"({"max_tokens":1,"prompt_logprobs":20,"prompt":[)", prompt, "]");
  const HttpAnswer refused = server.post("/v1/completions", body + R"(,"n":128})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("the answer could take 98 MiB, and may take 64"), std::string::npos) << refused.body;
  EXPECT_NE(refused.body.find(R"("param":"prompt_logprobs")"), std::string::npos);
  const HttpAnswer answer = server.post("/v1/completions", body + R"(,"n":2})");
  const auto json = base::parse_json(answer.body, {});
  ASSERT_TRUE(json.ok()) << answer.body;
  const auto& first = json->at("choices").at(0).at("prompt_logprobs");
  EXPECT_EQ(first.as_array().size(), 400u);
  EXPECT_EQ(first, json->at("choices").at(1).at("prompt_logprobs"));
}

TEST(Api, ErrorsCanHaveTheFlatFormOfVllm063) {
  Running server({.name = kStandIn, .max_model_len = 64}, {.api_keys = {"key"}, .flat_errors = true});
  const std::string key = "Authorization: Bearer key\r\n";
  const struct {
    const char* path;
    const char* body;
    std::string headers;
    const char* answer;
  } rows[] = {
      {"/v1/completions", R"({"prompt":"x","top_p":0})", key, R"({"object":"error","message":"top_p: )"},
      {"/v1/completions", "{}", "", R"({"object":"error","message":"the Authorization )"},
      {"/v1/nothing", "{}", key, R"({"object":"error","message":)"},
      {"/tokenize", "{}", key, R"({"object":"error","message":"prompt: missing)"},
      {"/generate", "{}", key, R"({"error":)"},
  };
  for (const auto& row : rows) {
    const HttpAnswer answer = server.post(row.path, row.body, row.headers);
    EXPECT_TRUE(answer.body.starts_with(row.answer)) << answer.body;
  }
}

TEST(Api, WhatIsOffByDefault) {
  Running server({.name = kStandIn, .max_model_len = 64}, {.tokenizer_info = true, .request_metrics = true});
  const std::string info = http_request(server.port(), "GET", "/tokenizer_info", "").body;
  EXPECT_NE(info.find(R"("tokenizer_class")"), std::string::npos) << info;
  EXPECT_EQ(http_request(server_of("stand-in").port(), "GET", "/tokenizer_info", "").status, 404);
  const std::string whole = server.post("/v1/completions", R"({"prompt":"x","max_tokens":3,"ignore_eos":true})").body;
  for (const char* name : {R"("metrics":{)", R"("time_to_first_token_ms":)", R"("tokens_per_second":)"}) {
    EXPECT_NE(whole.find(name), std::string::npos) << whole;
  }
  const char* stream = R"({"prompt":"x","max_tokens":3,"stream":true,"stream_options":{"include_usage":true}})";
  EXPECT_NE(server.post("/v1/completions", stream).body.find(R"("metrics":{"time_to)"), std::string::npos);
}

TEST(Api, InvocationsMeanWhatTheirMembersSay) {
  const Running& server = server_of("stand-in");
  const struct {
    const char* body;
    int status;
    const char* answer;
  } rows[] = {
      {R"({"prompt":"the","max_tokens":2})", 200, R"("object":"text_completion")"},
      {R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":2})", 200, R"("object":"chat.completion")"},
      {R"({"inputs":"the","parameters":{"max_new_tokens":2}})", 200, R"({"generated_text":)"},
      {R"({"inputs":""})", 422, R"("error_type":"validation")"},
      {R"({"input":"the"})", 400, R"("param":"messages")"},
      {"[]", 400, R"({"error":{"message":)"},
  };
  for (const auto& row : rows) {
    const HttpAnswer answer = server.post("/invocations", row.body);
    EXPECT_EQ(answer.status, row.status) << answer.body;
    EXPECT_NE(answer.body.find(row.answer), std::string::npos) << answer.body;
  }
}

TEST(Api, ErrorsBelowAHandlerSpeakThePathsDialect) {
  Running server({.name = kStandIn, .max_model_len = 64}, {.api_keys = {"key"}});
  const auto body = [&](const char* path, const std::string& text, const char* extra) {
    return http_request(server.port(), "POST", path, text, extra).body;
  };
  const char* unauthorized = "the Authorization header must be `Bearer` and a valid key";
  EXPECT_NE(body("/v1/completions", "{}", "").find(R"({"error":{"message":"the Authorization)"), std::string::npos);
  EXPECT_EQ(body("/generate", "{}", ""),
            absl::StrCat(R"({"error":")", unauthorized, R"(","error_type":"unauthorized"})"));
  const char* gzip = "Content-Encoding: gzip\r\n";  // refused by the server before any handler: 415
  EXPECT_NE(body("/v1/completions", "{}", gzip).find(R"("type":"UnsupportedMediaTypeError")"), std::string::npos);
  EXPECT_NE(body("/generate", "{}", gzip).find(R"("error_type":"validation")"), std::string::npos);
}

TEST(Api, ReadyFollowsTheDrain) {
  Running server({.name = kStandIn, .max_model_len = 64}, {});
  server.service().set_ready(false);
  server.engine().drain(0);
  EXPECT_EQ(http_request(server.port(), "GET", "/ready", "").status, 503);
  EXPECT_EQ(http_request(server.port(), "GET", "/live", "").status, 200);
  EXPECT_EQ(server.post("/v1/completions", R"({"prompt":"x"})").status, 503);
}

TEST(Api, RequestIdsAreEchoedUnlessTheyAreHarmful) {
  Running& server = server_of("stand-in");
  const auto head = [&](const std::string& id) {
    return server.post("/v1/completions", R"({"prompt":"x","max_tokens":1})", "X-Request-Id: " + id + "\r\n").head +
           "\r\n";
  };
  EXPECT_NE(head("abc-1").find("X-Request-Id: abc-1\r\n"), std::string::npos);
  EXPECT_EQ(head("a b<script>").find("script"), std::string::npos);
  EXPECT_EQ(head(std::string(200, 'x')).find("xxx"), std::string::npos);
}

// The second stream waits for the first and sends keep-alives.
TEST(Api, AStreamThatWaitsInTheQueueSaysThatItLives) {
  api::ServiceOptions options;
  options.limits.stream_silence_s_max = 0.02;
  Running server({.name = kStandIn, .max_model_len = 512}, options);
  std::thread busy(
      [&] { server.post("/v1/completions", R"({"prompt":"x","n":16,"max_tokens":40,"ignore_eos":true})"); });
  while (server.engine().stats().running < 16) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const HttpAnswer answer = server.post("/v1/completions", R"({"prompt":"x","max_tokens":2,"stream":true})");
  busy.join();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.body.starts_with(": keep-alive\n: keep-alive\n")) << answer.body;
  EXPECT_NE(answer.body.find("keep-alive\ndata: {"), std::string::npos);
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
}

TEST(Api, StreamAndWholeAnswerAgree) {
  Running& server = server_of("stand-in");
  const std::string fields = R"("prompt":"the","max_tokens":40,"temperature":0.9,"seed":7)";
  const auto whole = base::parse_json(server.post("/v1/completions", "{" + fields + "}").body, {});
  ASSERT_TRUE(whole.ok());
  std::string streamed;
  const std::string body = server.post("/v1/completions", "{" + fields + R"(,"stream":true})").body;
  for (size_t at = body.find("data: {"); at != std::string::npos; at = body.find("data: {", at + 1)) {
    const auto chunk = base::parse_json(body.substr(at + 6, body.find("\n\n", at) - at - 6), {});
    ASSERT_TRUE(chunk.ok());
    streamed += std::string(chunk->at("choices").at(0).at("text").as_string());
  }
  EXPECT_EQ(streamed, std::string(whole->at("choices").at(0).at("text").as_string()));
}

}  // namespace
}  // namespace polymath::test
