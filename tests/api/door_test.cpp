// What the server answers while the model loads, and that it serves afterwards.

#include "api/door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "commands/served.h"
#include "http_client.h"

namespace polymath::test {
namespace {

using testing::HasSubstr;

class DoorTest : public testing::Test {
 protected:
  explicit DoorTest(api::ServiceOptions options = {}) : door_(std::move(options), metrics_) {
    door_.install(http_);
    EXPECT_TRUE(http_.start().ok());
  }
  ~DoorTest() override { http_.stop(1); }

  HttpAnswer get(const std::string& path, const std::string& extra = "") {
    return http_request(http_.port(), "GET", path, "", extra);
  }
  HttpAnswer post(const std::string& path, const std::string& body, const std::string& extra = "") {
    return http_request(http_.port(), "POST", path, body, extra);
  }

  base::MetricsRegistry metrics_;
  api::Door door_;
  server::HttpServer http_{{.host = "127.0.0.1", .port = 0}};
};

class LockedDoorTest : public DoorTest {
 protected:
  LockedDoorTest() : DoorTest(with_key()) {}

 private:
  static api::ServiceOptions with_key() {
    api::ServiceOptions options;
    options.api_keys.emplace_back("secret");
    return options;
  }
};

TEST_F(DoorTest, ProbesTellThatTheModelLoads) {
  EXPECT_EQ(get("/live").status, 200);
  EXPECT_EQ(get("/ready").status, 503);
  EXPECT_EQ(get("/ready").body, R"({"status":"loading"})");
  for (const char* path : {"/health", "/ping"}) EXPECT_EQ(get(path).status, 503) << path;
  EXPECT_EQ(get("/").status, 503);
  EXPECT_EQ(get("/", "Accept: text/html\r\n").status, 200) << "the live page waits for the model";
  EXPECT_THAT(get("/metrics").body, HasSubstr("http_requests_total"));
}

TEST_F(DoorTest, RequestsAreToldToComeAgain) {
  const HttpAnswer openai = post("/v1/completions", R"({"prompt":"x"})");
  EXPECT_EQ(openai.status, 503);
  EXPECT_THAT(openai.head, HasSubstr("Retry-After: 1"));
  EXPECT_THAT(openai.body, HasSubstr(R"({"error":{"message":"the model is loading","type":"ServiceUnavailableError")"));
  const HttpAnswer tgi = post("/generate", R"({"inputs":"x"})");
  EXPECT_EQ(tgi.status, 503);
  EXPECT_THAT(tgi.body, HasSubstr(R"("error":"the model is loading")"));
  EXPECT_EQ(get("/v1/models").status, 503);
  EXPECT_EQ(get("/nowhere").status, 404);
}

TEST_F(LockedDoorTest, TheKeyIsCheckedFirst) {
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"x"})").status, 401);
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"x"})", "Authorization: Bearer secret\r\n").status, 503);
}

TEST_F(DoorTest, OpensWhenTheModelIsLoaded) {
  commands::Options options;
  options.model = {.name = POLYMATH_STAND_IN, .load_format = "dummy", .max_model_len = 512};
  options.runtime = {.kv_bytes = 4 << 20, .step_tokens = 128, .sequences = 16};
  auto served = commands::build_served(options, metrics_);
  ASSERT_TRUE(served.ok()) << served.status();
  api::Service service(served->runtime->engine(), std::move(served->model), door_.options(), metrics_);
  served->runtime->engine().start();
  door_.open(service);
  EXPECT_EQ(get("/ready").status, 503) << "not before set_ready";
  service.set_ready(true);
  EXPECT_EQ(get("/ready").status, 200);
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"x","max_tokens":2})").status, 200);
  served->runtime->engine().drain(0);
  http_.stop(1);
}

}  // namespace
}  // namespace polymath::test
