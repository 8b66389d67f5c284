#include "api/dialects.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace polymath::api {
namespace {

TEST(Dialects, ErrorsSpeakTheLanguageOfThePath) {
  const struct {
    const char* path;
    const char* dialect;
  } rows[] = {
      {"/v1/completions", "openai"},
      {"/v1/nothing", "openai"},
      {"/v1", "openai"},
      {"/nothing", "openai"},
      {"", "openai"},
      {"/generate", "tgi"},
      {"/", "tgi"},
      {"/generate/more", "tgi"},
      {"/info", "tgi"},
      {"/tokenize", "tokenize"},
      {"/tokenize/x", "tokenize"},
      {"/invocations", "invocations"},
      {"/metrics", "admin"},
  };
  for (const auto& row : rows) EXPECT_EQ(dialect_of(row.path).name, row.dialect) << row.path;
}

TEST(Dialects, OnlyProbesMetricsAndThePageAreOpen) {
  const std::set<std::string> open = {"GET /health", "GET /live", "GET /ready",  "GET /ping",
                                      "POST /ping",  "GET /",     "GET /metrics"};
  for (const Dialect* dialect : dialects()) {
    for (const Route& route : dialect->routes) {
      const std::string name = std::string(route.method) + " " + std::string(route.path);
      EXPECT_EQ(route.open, open.contains(name)) << name;
    }
  }
}

TEST(Dialects, FindsARouteByMethodAndPath) {
  EXPECT_TRUE(find_route("POST", "/v1/completions")->generates);
  EXPECT_TRUE(find_route("POST", "/invocations")->generates);
  EXPECT_FALSE(find_route("POST", "/v1/completions/render")->generates);
  EXPECT_FALSE(find_route("POST", "/tokenize")->generates);
  EXPECT_EQ(find_route("GET", "/v1/completions"), nullptr);
  EXPECT_EQ(find_route("POST", "/nothing"), nullptr);
}

TEST(Dialects, EachRouteAndNameIsListedOnce) {
  std::set<std::string> names, routes;
  for (const Dialect* dialect : dialects()) {
    EXPECT_TRUE(names.insert(std::string(dialect->name)).second) << dialect->name;
    ASSERT_NE(dialect->error_body, nullptr);
    for (const Route& route : dialect->routes) {
      EXPECT_TRUE(routes.insert(std::string(route.method) + " " + std::string(route.path)).second) << route.path;
      EXPECT_NE(route.handle, nullptr) << route.path;
    }
  }
}

}  // namespace
}  // namespace polymath::api
