#include "api/tgi/request.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "api/status.h"
#include "api/test_model.h"

namespace polymath::api {
namespace {

const ServedModel& model() {
  static const ServedModel* const kept = [] {
    auto* made = new ServedModel(stand_in_model());
    made->adapters = {{"capitals", "a", "base"}, {"korean", "b", "base"}};
    return made;
  }();
  return *kept;
}

absl::StatusOr<TgiRequest> parse_text(const std::string& text, const TgiRoute& route = {}) {
  const auto json = base::parse_json(text, {});
  if (!json.ok()) return json.status();
  ASSIGN_OR_RETURN(TgiRequest request, parse_tgi_request(*json, route, model(), {}));
  RETURN_IF_ERROR(resolve_tgi_prompt(request, model()));
  return request;
}

absl::StatusOr<TgiRequest> parse(const std::string& parameters) {
  return parse_text(R"({"inputs":"the cat","parameters":{)" + parameters + "}}");
}

TEST(TgiRequest, Defaults) {
  for (const char* text : {R"({"inputs":"the cat"})", R"({"inputs":"the cat","parameters":null,"stream":false})"}) {
    const auto request = parse_text(text);
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->plan.sampling.temperature, 0) << "greedy";
    EXPECT_EQ(request->plan.sampling.logprobs, -1);
    EXPECT_EQ(request->plan.sampling.eos_ids, model().eos_ids);
    EXPECT_EQ(request->plan.prompts.size(), 1u);
    EXPECT_EQ(request->plan.max_tokens[0], 100 - static_cast<int>(request->plan.prompts[0].size()));
    EXPECT_EQ(request->plan.adapter, -1);
    EXPECT_TRUE(request->plan.include_stop);
    EXPECT_FALSE(request->answer.details);
  }
}

TEST(TgiRequest, EveryParameterArrives) {
  const auto r = parse(R"("temperature":0.5,"top_k":7,"top_p":0.9,"repetition_penalty":1.2,"frequency_penalty":0.3,
                          "typical_p":0.8,
                          "seed":11,"stop":["x","yy"],"max_new_tokens":9,"truncate":2,"return_full_text":true,
                          "details":true,"decoder_input_details":true,"top_n_tokens":3,"adapter_id":"korean")");
  ASSERT_TRUE(r.ok()) << r.status();
  const engine::SamplingParams& s = r->plan.sampling;
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_k, 7);
  EXPECT_EQ(s.top_p, 0.9f);
  EXPECT_EQ(s.typical_p, 0.8f);
  EXPECT_EQ(s.repetition_penalty, 1.2f);
  EXPECT_EQ(s.frequency_penalty, 0.3f);
  EXPECT_EQ(s.seed, 11u);
  EXPECT_EQ(s.logprobs, 3);
  EXPECT_EQ(s.prompt_logprobs, 0);
  EXPECT_EQ(r->plan.stop, (std::vector<std::string>{"x", "yy"}));
  EXPECT_EQ(r->plan.max_tokens, std::vector<int>{9});
  EXPECT_EQ(r->plan.prompts[0].size(), 2u);
  EXPECT_EQ(r->plan.adapter, 1);
  EXPECT_TRUE(r->answer.full_text && r->answer.details && r->answer.prefill && r->answer.top_tokens);
}

TEST(TgiRequest, SampledOnlyWhereSomethingAsksForIt) {
  const struct {
    const char* parameters;
    bool sampled;
    float temperature;
  } rows[] = {
      {"", false, 0},
      {R"("do_sample":false,"temperature":1.0)", false, 0},
      {R"("repetition_penalty":1.5)", false, 0},
      {R"("do_sample":true)", true, 1},
      {R"("temperature":0.7)", true, 0.7f},
      {R"("top_k":5)", true, 1},
      {R"("top_p":0.5)", true, 1},
      {R"("typical_p":0.5)", true, 1},
  };
  for (const auto& row : rows) {
    const auto r = parse(row.parameters);
    ASSERT_TRUE(r.ok()) << r.status();
    EXPECT_EQ(r->answer.sampled, row.sampled) << row.parameters;
    EXPECT_EQ(r->plan.sampling.temperature, row.temperature) << row.parameters;
  }
}

TEST(TgiRequest, TheRouteAnswersWhatTheRequestLeavesOpen) {
  const auto request = parse_text(R"({"inputs":"a"})", {.stream = true, .do_sample = true, .full_text = true});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->stream && request->answer.sampled && request->answer.full_text);
  EXPECT_EQ(request->plan.sampling.logprobs, 0) << "an event shows its token's";
  const char* no = R"({"inputs":"a","stream":true,"parameters":{"do_sample":false,"return_full_text":false}})";
  const auto other = parse_text(no, {.stream = false, .do_sample = true, .full_text = true});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_FALSE(other->stream || other->answer.sampled || other->answer.full_text);
  EXPECT_TRUE(parse_text(no)->stream);
}

TEST(TgiRequest, BestOf) {
  const auto request = parse(R"("best_of":3,"do_sample":true)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->plan.n, 3);
  EXPECT_EQ(request->plan.sampling.logprobs, 0);
  const char* streamed = R"({"inputs":"a","stream":true,"parameters":{"best_of":2,"do_sample":true}})";
  EXPECT_EQ(field_of(parse_text(streamed).status()), "best_of");
}

TEST(TgiRequest, RefusalsNameTheirField) {
  using enum absl::StatusCode;
  const struct {
    const char* parameters;
    absl::StatusCode code;
    const char* field;
  } rows[] = {
      {R"("temperature":0)", kInvalidArgument, "temperature"},
      {R"("temperature":"hot")", kInvalidArgument, "temperature"},
      {R"("top_p":1.0)", kInvalidArgument, "top_p"},
      {R"("top_k":0)", kInvalidArgument, "top_k"},
      {R"("repetition_penalty":0)", kInvalidArgument, "repetition_penalty"},
      {R"("frequency_penalty":2.5)", kInvalidArgument, "frequency_penalty"},
      {R"("max_new_tokens":0)", kInvalidArgument, "max_new_tokens"},
      {R"("max_new_tokens":1000)", kInvalidArgument, "max_new_tokens"},
      {R"("max_new_tokens":1e99)", kInvalidArgument, "max_new_tokens"},
      {R"("truncate":0)", kInvalidArgument, "truncate"},
      {R"("seed":-1)", kInvalidArgument, "seed"},
      {R"("seed":1.5)", kInvalidArgument, "seed"},
      {R"("top_n_tokens":21)", kInvalidArgument, "top_n_tokens"},
      {R"("adapter_id":"unknown")", kInvalidArgument, "adapter_id"},
      {R"("details":"yes")", kInvalidArgument, "details"},
      {R"("best_of":2)", kInvalidArgument, "best_of"},
      {R"("best_of":0)", kInvalidArgument, "best_of"},
      {R"("best_of":21,"do_sample":true)", kInvalidArgument, "best_of"},
      {R"("best_of":2,"do_sample":true,"seed":1)", kInvalidArgument, "seed"},
      {R"("typical_p":1.0)", kInvalidArgument, "typical_p"},
      {R"("watermark":true)", kUnimplemented, "watermark"},
      {R"("grammar":{"type":"regex","value":"("})", kInvalidArgument, "grammar"},
      {R"("grammar":{"type":"json"})", kInvalidArgument, "grammar"},
      {R"("json_schema":{"type":"object"})", kUnimplemented, "json_schema"},
      {R"("guided_regex":"a")", kUnimplemented, "guided_regex"},
  };
  for (const auto& row : rows) {
    const absl::Status status = name_field(parse(row.parameters).status());
    EXPECT_EQ(status.code(), row.code) << row.parameters << status;
    EXPECT_EQ(field_of(status), row.field) << status;
  }
  EXPECT_TRUE(parse(R"("best_of":1,"typical_p":null,"watermark":false,"grammar":null)").ok());
  EXPECT_TRUE(parse(R"("grammar":{"type":"regex","value":"a+"})").ok());
  EXPECT_TRUE(parse(R"("grammar":{"type":"json","value":{"type":"object"}})").ok());
}

TEST(TgiRequest, BodiesThatAreRefused) {
  using enum absl::StatusCode;
  const struct {
    const char* text;
    absl::StatusCode code;
    const char* field;
  } rows[] = {
      {"[]", kInvalidArgument, ""},
      {"{}", kInvalidArgument, "inputs"},
      {R"({"inputs":""})", kInvalidArgument, "inputs"},
      {R"({"inputs":["a"]})", kInvalidArgument, "inputs"},
      {R"({"inputs":"a","parameters":[]})", kInvalidArgument, "parameters"},
      {R"({"inputs":"a","stream":1})", kInvalidArgument, "stream"},
      {R"({"inputs":"a","stream":true,"parameters":{"decoder_input_details":true}})", kInvalidArgument,
       "decoder_input_details"},
  };
  for (const auto& row : rows) {
    const absl::Status status = name_field(parse_text(row.text).status());
    EXPECT_EQ(status.code(), row.code) << row.text << status;
    EXPECT_EQ(field_of(status), row.field) << status;
  }
  const std::string long_text(4000, 'x');
  EXPECT_EQ(field_of(parse_text(R"({"inputs":")" + long_text + "\"}").status()), "inputs");
}

TEST(TgiRequest, RefusedFieldsAreDocumented) {
  std::ifstream in(std::string(POLYMATH_SOURCE_DIR) + "/docs/reference/api.md");
  const std::string page((std::istreambuf_iterator<char>(in)), {});
  for (const TgiRefusedField& field : tgi_refused_fields()) {
    EXPECT_NE(page.find(absl::StrCat("`", std::string(field.name), "`")), std::string::npos) << field.name;
  }
}

}  // namespace
}  // namespace polymath::api
