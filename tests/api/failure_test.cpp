// Answers to clients and probes after a failed step. tests/clients/failure_test.py tests the process's end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "api/door.h"
#include "api/service.h"
#include "commands/served.h"
#include "http_client.h"

namespace polymath::test {
namespace {

using testing::HasSubstr;

TEST(Failure, EveryRequestInFlightAndEveryProbeIsTold) {
  base::MetricsRegistry metrics;
  commands::Options options;
  options.model = {.name = POLYMATH_STAND_IN, .load_format = "dummy", .max_model_len = 512};
  options.runtime = {.kv_bytes = 4 << 20, .step_tokens = 128, .sequences = 16};
  auto served = commands::build_served(options, metrics);
  ASSERT_TRUE(served.ok()) << served.status();
  engine::Engine& engine = served->runtime->engine();
  api::Service service(engine, std::move(served->model), {.version = "test"}, metrics);
  api::Door door(service.options(), metrics);
  server::HttpServer http({.host = "127.0.0.1", .port = 0});
  door.open(service);
  door.install(http);
  engine.fail_at_step(30);
  ASSERT_TRUE(http.start().ok());
  service.set_ready(true);
  const auto get = [&](const char* path) { return http_request(http.port(), "GET", path, ""); };
  EXPECT_EQ(get("/ready").status, 200);
  EXPECT_EQ(get("/health").status, 200);

  const std::string error = R"("type":"InternalServerError","param":null,"code":500)";
  const std::string body = R"({"prompt":"x","max_tokens":400,"ignore_eos":true)";
  std::thread streamed([&] {
    const HttpAnswer answer = http_request(http.port(), "POST", "/v1/completions", body + R"(,"stream":true})");
    EXPECT_EQ(answer.status, 200) << "it began well";
    EXPECT_THAT(answer.body, HasSubstr(R"(data: {"error":{"message":"the model failed: this step was to fail",)"));
    EXPECT_THAT(answer.body, HasSubstr(error));
  });
  std::thread whole([&] {
    const HttpAnswer answer = http_request(http.port(), "POST", "/v1/completions", body + "}");
    EXPECT_EQ(answer.status, 500);
    EXPECT_THAT(answer.body, HasSubstr(error));
  });
  while (engine.stats().waiting < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  engine.start();  // only now, so that the failure finds both
  streamed.join();
  whole.join();

  EXPECT_EQ(get("/ready").status, 503);
  for (const char* path : {"/health", "/ping", "/"}) {
    EXPECT_EQ(get(path).status, 503) << path;
    EXPECT_EQ(get(path).body, R"({"error":"unhealthy","error_type":"healthcheck"})") << path;
  }
  EXPECT_EQ(get("/live").status, 200);
  EXPECT_EQ(http_request(http.port(), "POST", "/v1/completions", body + "}").status, 503);
  http.stop(5);
}

}  // namespace
}  // namespace polymath::test
