#include "api/openai/request.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"

#include "api/output/thinking_budget.h"
#include "api/status.h"
#include "api/test_model.h"

namespace polymath::api {
namespace {

constexpr Endpoint kText = Endpoint::kCompletions;
constexpr Endpoint kChat = Endpoint::kChat;

const ServedModel& model() {
  static const ServedModel* const kept = new ServedModel(stand_in_model());
  return *kept;
}

absl::StatusOr<OpenAiRequest> parse(Endpoint endpoint, const std::string& fields) {
  const std::string base = endpoint == kChat ? R"("messages":[{"role":"user","content":"hi"}])" : R"("prompt":"the")";
  const auto json = base::parse_json("{" + base + (fields.empty() ? "" : ",") + fields + "}", {});
  if (!json.ok()) return json.status();
  ASSIGN_OR_RETURN(OpenAiRequest request, parse_openai_request(*json, endpoint, model(), {}));
  RETURN_IF_ERROR(resolve_prompts(request, model()));
  return request;
}

TEST(OpenAiRequest, Defaults) {
  const auto text = parse(kText, "");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->plan.max_tokens, std::vector<int>{16});
  EXPECT_EQ(text->plan.sampling.temperature, 1);
  EXPECT_EQ(text->plan.sampling.logprobs, -1);
  EXPECT_EQ(text->plan.sampling.eos_ids, model().eos_ids);
  EXPECT_EQ(text->answer.model, "stand-in");
  const auto chat = parse(kChat, "");
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->plan.max_tokens[0], 100 - static_cast<int>(chat->plan.prompts[0].size()));
  EXPECT_NE(text->plan.sampling.seed, parse(kText, "")->plan.sampling.seed);
}

struct Row {
  Endpoint endpoint;
  const char* fields;
  absl::StatusCode code;
  const char* param;
};

TEST(OpenAiRequest, RefusalsNameTheirField) {
  using enum absl::StatusCode;
  const Row rows[] = {
      {kText, R"("model":"other")", kNotFound, ""},
      {kText, R"("temperature":100.5)", kInvalidArgument, "temperature"},
      {kText, R"("temperature":"1")", kInvalidArgument, "temperature"},
      {kText, R"("top_p":0)", kInvalidArgument, "top_p"},
      {kText, R"("min_p":1.1)", kInvalidArgument, "min_p"},
      {kText, R"("top_k":-2)", kInvalidArgument, "top_k"},
      {kText, R"("top_k":4294967296)", kInvalidArgument, "top_k"},
      {kText, R"("presence_penalty":-2.1)", kInvalidArgument, "presence_penalty"},
      {kText, R"("repetition_penalty":0)", kInvalidArgument, "repetition_penalty"},
      {kText, R"("logit_bias":{"512":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":{"x":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":{"1":"5"})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":[1])", kInvalidArgument, "logit_bias"},
      {kText, R"("seed":1.5)", kInvalidArgument, "seed"},
      {kText, R"("stop":[1])", kInvalidArgument, "stop"},
      {kText, R"("seed":1e30)", kInvalidArgument, "seed"},
      {kText, R"("seed":true)", kInvalidArgument, "seed"},
      {kText, R"("stop_token_ids":[512])", kInvalidArgument, "stop_token_ids"},
      {kText, R"("allowed_token_ids":[])", kInvalidArgument, "allowed_token_ids"},
      {kText, R"("n":0)", kInvalidArgument, "n"},
      {kText, R"("n":129)", kInvalidArgument, "n"},
      {kText, R"("best_of":1,"n":2)", kInvalidArgument, "best_of"},
      {kText, R"("best_of":129)", kInvalidArgument, "best_of"},
      {kText, R"("best_of":2,"stream":true)", kInvalidArgument, "best_of"},
      {kText, R"("max_tokens":0)", kInvalidArgument, "max_tokens"},
      {kText, R"("max_tokens":99)", kInvalidArgument, "max_tokens"},
      {kText, R"("min_tokens":17)", kInvalidArgument, "min_tokens"},
      {kText, R"("truncate_prompt_tokens":0)", kInvalidArgument, "truncate_prompt_tokens"},
      {kText, R"("logprobs":21)", kInvalidArgument, "logprobs"},
      {kText, R"("logprobs":true)", kInvalidArgument, "logprobs"},
      {kText, R"("stream":true,"prompt_logprobs":1)", kInvalidArgument, "prompt_logprobs"},
      {kText, R"("stream_options":{"include_usage":true})", kInvalidArgument, "stream_options"},
      {kText, R"("guided_json":{"not":{}})", kUnimplemented, "guided_json"},
      {kText, R"("guided_regex":"(")", kInvalidArgument, "guided_regex"},
      {kText, R"("guided_regex":"a","min_tokens":1)", kInvalidArgument, "min_tokens"},
      {kText, R"("guided_regex":"a","guided_choice":["b"])", kInvalidArgument, "guided_choice"},
      {kText, R"("guided_whitespace_pattern":" ")", kInvalidArgument, "guided_whitespace_pattern"},
      {kText, R"("structured_outputs":{"json":{"type":"x"}})", kInvalidArgument, "structured_outputs"},
      {kText, R"("structured_outputs":{"lark":"start: x"})", kUnimplemented, "structured_outputs"},
      {kText, R"("use_beam_search":true,"guided_regex":"a")", kInvalidArgument, "guided_regex"},
      {kChat, R"("top_logprobs":2)", kInvalidArgument, "top_logprobs"},
      {kChat, R"("response_format":{"type":"json_schema"})", kInvalidArgument, "response_format"},
      {kChat, R"("response_format":{"type":"yaml"})", kInvalidArgument, "response_format"},
      {kChat, R"("tool_choice":{"type":"function"})", kInvalidArgument, "tool_choice"},
      {kChat, R"("tool_choice":"maybe")", kInvalidArgument, "tool_choice"},
      {kChat, R"("tools":[1])", kInvalidArgument, "tools"},
      {kChat, R"("chat_template":"{{ 1 }}")", kInvalidArgument, "chat_template"},
      {kChat, R"("chat_template_kwargs":{"bos_token":"x"})", kInvalidArgument, "chat_template_kwargs"},
      {kChat, R"("chat_template_kwargs":[1])", kInvalidArgument, "chat_template_kwargs"},
      {kChat, R"("continue_final_message":true,"add_generation_prompt":true)", kInvalidArgument,
       "continue_final_message"},
      {kChat, R"("audio":{"voice":"x"})", kUnimplemented, "audio"},
      {kChat, R"("grammar":"root ::= [0-9]")", kUnimplemented, "grammar"},
      {kText, R"("regex":"[0-9]+")", kUnimplemented, "regex"},
      {kText, R"("ebnf":"root ::= [0-9]")", kUnimplemented, "ebnf"},
      {kChat, R"("format":"json")", kUnimplemented, "format"},
      {kChat, R"("format":{"type":"object"})", kUnimplemented, "format"},
      {kChat, R"("json_schema":{"type":"object"})", kUnimplemented, "json_schema"},
      {kText, R"("regex_pattern":"a")", kUnimplemented, "regex_pattern"},
      {kText, R"("guided_decoding":{"json":{}})", kUnimplemented, "guided_decoding"},
      {kChat, R"("response_schema":{"type":"object"})", kUnimplemented, "response_schema"},
      {kChat, R"("extra_body":{"guided_json":{}})", kUnimplemented, "extra_body"},
      {kChat, R"("max_completion_tokens":0)", kInvalidArgument, "max_completion_tokens"},
      {kChat, R"("max_completion_tokens":1000)", kInvalidArgument, "max_completion_tokens"},
  };
  for (const Row& row : rows) {
    const auto got = parse(row.endpoint, row.fields);
    ASSERT_FALSE(got.ok()) << row.fields;
    EXPECT_EQ(got.status().code(), row.code) << row.fields << " " << got.status();
    EXPECT_EQ(field_of(got.status()), row.param) << row.fields << " " << got.status();
  }
}

TEST(OpenAiRequest, RefusalsOfVllmsFields) {
  using enum absl::StatusCode;
  const Row rows[] = {
      {kText, R"("logit_bias":{" 5":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":{"+5":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":{"05":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":{"-0":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("logit_bias":{"5.0":1})", kInvalidArgument, "logit_bias"},
      {kText, R"("suffix":"x")", kInvalidArgument, "suffix"},
      {kText, R"("suffix":1)", kInvalidArgument, "suffix"},
      {kText, R"("suffix":"x","echo":true)", kInvalidArgument, "suffix"},
      {kText, R"("suffix":"x","truncate_prompt_tokens":3)", kInvalidArgument, "suffix"},
      {kText, R"("bad_words":"x")", kInvalidArgument, "bad_words"},
      {kText, R"("bad_words":[1])", kInvalidArgument, "bad_words"},
      {kText, R"("bad_words":["a",""])", kInvalidArgument, "bad_words"},
      {kText, R"("bad_words":["  "])", kInvalidArgument, "bad_words"},
      {kText, R"("logprobs":-1)", kInvalidArgument, "logprobs"},
      {kText, R"("prompt_logprobs":-1)", kInvalidArgument, "prompt_logprobs"},
      {kChat, R"("logprobs":true,"top_logprobs":-1)", kInvalidArgument, "top_logprobs"},
      {kText, R"("logprob_token_ids":[1])", kInvalidArgument, "logprob_token_ids"},
      {kText, R"("logprobs":1,"logprob_token_ids":[512])", kInvalidArgument, "logprob_token_ids"},
      {kText, R"("truncation_side":"middle")", kInvalidArgument, "truncation_side"},
      {kText, R"("stream_interval":0)", kInvalidArgument, "stream_interval"},
      {kText, R"("repetition_detection":1)", kInvalidArgument, "repetition_detection"},
      {kText, R"("repetition_detection":{"max_pattern_size":257,"min_count":2})", kInvalidArgument,
       "repetition_detection"},
      {kText, R"("repetition_detection":{"max_pattern_size":4,"min_count":1})", kInvalidArgument,
       "repetition_detection"},
      {kText, R"("repetition_detection":{"max_pattern_size":4,"min_pattern_size":5,"min_count":2})", kInvalidArgument,
       "repetition_detection"},
      {kText, R"("length_penalty":2)", kInvalidArgument, "length_penalty"},
      {kText, R"("early_stopping":true)", kInvalidArgument, "early_stopping"},
      {kText, R"("use_beam_search":true,"length_penalty":11)", kInvalidArgument, "length_penalty"},
      {kText, R"("use_beam_search":true,"stream":true)", kInvalidArgument, "stream"},
      {kText, R"("use_beam_search":true,"stop":"x")", kInvalidArgument, "stop"},
      {kChat, R"("use_beam_search":true,"bad_words":["x"])", kInvalidArgument, "bad_words"},
      {kText, R"("cache_salt":"")", kInvalidArgument, "cache_salt"},
      {kChat, R"("thinking_token_budget":5)", kInvalidArgument, "thinking_token_budget"},
      {kChat, R"("thinking_token_budget":-2)", kInvalidArgument, "thinking_token_budget"},
      {kChat, R"("thinking_token_budget":1.5)", kInvalidArgument, "thinking_token_budget"},
      {kChat, R"("thinking_token_budget":"5")", kInvalidArgument, "thinking_token_budget"},
      {kChat, R"("thinking_token_budget":4294967296)", kInvalidArgument, "thinking_token_budget"},
      {kChat, R"("thinking_token_budget":0,"use_beam_search":true)", kInvalidArgument, "thinking_token_budget"},
      {kText, R"("thinking_token_budget":5)", kUnimplemented, "thinking_token_budget"},
      {kText, R"("priority":1e300)", kInvalidArgument, "priority"},
  };
  for (const Row& row : rows) {
    const auto got = parse(row.endpoint, row.fields);
    ASSERT_FALSE(got.ok()) << row.fields;
    EXPECT_EQ(got.status().code(), row.code) << row.fields << " " << got.status();
    EXPECT_EQ(field_of(got.status()), row.param) << row.fields << " " << got.status();
  }
}

TEST(OpenAiRequest, CandidatesAreThePlansChoices) {
  const auto request = parse(kText, R"("n":2,"best_of":5)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->answer.n, 2);
  EXPECT_EQ(request->plan.n, 5);
  EXPECT_EQ(request->plan.sampling.logprobs, 0);
  EXPECT_FALSE(request->answer.logprobs);
  EXPECT_EQ(parse(kChat, R"("n":2)")->plan.n, 2);
}

TEST(OpenAiRequest, BadWordsAreTokenizedWithAndWithoutABlank) {
  const auto bad = [](const char* fields) { return parse(kText, fields)->plan.sampling.bad_ids; };
  const auto ids = [](const char* text) { return model().tokenizer->encode(text, false); };
  EXPECT_EQ(bad(R"("bad_words":["the"])"), (std::vector<std::vector<int32_t>>{ids(" the"), ids("the")}));
  EXPECT_EQ(bad(R"("bad_words":["  the"])"), bad(R"("bad_words":["the"])"));
  std::string many = "\"a\"";
  for (int i = 1; i < 128; ++i) many += ",\"a\"";
  EXPECT_TRUE(parse(kText, "\"bad_words\":[" + many + "]").ok());
  EXPECT_EQ(parse(kText, "\"bad_words\":[" + many + ",\"a\"]").status().message(), "bad_words: at most 128 words");
}

TEST(OpenAiRequest, TheWholeVocabularysLogprobsNeedTheFlag) {
  const auto json = base::parse_json(R"({"prompt":"the","logprobs":-1,"max_tokens":1})", {});
  OpenAiLimits limits;
  limits.limits.logprobs_max = -1;
  const auto request = parse_openai_request(*json, kText, model(), limits);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->plan.sampling.logprobs, 512);
  EXPECT_EQ(request->answer.top_logprobs, 512);
}

TEST(OpenAiRequest, WantedIdsReplaceTheBest) {
  const auto request = parse(kText, R"("logprobs":5,"logprob_token_ids":[9,3,9],"echo":true)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->plan.sampling.logprob_ids, (std::vector<int32_t>{3, 9}));
  EXPECT_EQ(request->plan.sampling.logprobs, 0);
  EXPECT_EQ(request->plan.sampling.prompt_logprobs, 5);
}

TEST(OpenAiRequest, ASuffixMakesAnInfillingPrompt) {
  ServedModel infilling = stand_in_model();
  infilling.infill = InfillTokens{"<PRE>", "<SUF>", "<MID>"};
  const auto json = base::parse_json(R"({"prompt":"the","suffix":" end","return_prompt_text":true})", {});
  auto request = parse_openai_request(*json, kText, infilling, {});
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_TRUE(resolve_prompts(*request, infilling).ok());
  EXPECT_EQ(request->prompt_facts.at(0).text, "<PRE>the<SUF> end<MID>");
  EXPECT_EQ(request->plan.prompts[0], infilling.tokenizer->encode("<PRE>the<SUF> end<MID>", true));
}

TEST(OpenAiRequest, ABudgetNeedsAFormatOfReasoning) {
  ServedModel thinking = stand_in_model();
  thinking.chat_templates.front().output.reasoning = text::find_reasoning_format("qwen3");
  const auto budget = [&](const char* fields) {
    const auto json =
        base::parse_json(absl::StrCat(R"({"messages":[{"role":"user","content":"hi"}])", fields, "}"), {});
    auto request = parse_openai_request(*json, kChat, thinking, {});
    EXPECT_TRUE(request.ok() && resolve_prompts(*request, thinking).ok()) << fields;
    return request->plan.thinking;
  };
  EXPECT_EQ(budget(""), nullptr);
  EXPECT_EQ(budget(R"(,"thinking_token_budget":-1)"), nullptr);
  const auto some = budget(R"(,"thinking_token_budget":7)");
  ASSERT_NE(some, nullptr);
  EXPECT_EQ(some->tokens_max, 7);
  EXPECT_EQ(thinking.tokenizer->decode(some->end, false), "</think>");
}

TEST(OpenAiRequest, AChatEchoesTheAssistantsLastWords) {
  const auto echo = [](const char* messages) {
    const auto json = base::parse_json(std::string(R"({"echo":true,"messages":)") + messages + "}", {});
    auto request = parse_openai_request(*json, kChat, model(), {});
    EXPECT_TRUE(request.ok() && resolve_prompts(*request, model()).ok());
    return request->chat_echo;
  };
  EXPECT_EQ(echo(R"([{"role":"user","content":"hi"}])"), "");
  EXPECT_EQ(echo(R"([{"role":"user","content":"hi"},{"role":"assistant","content":"Well"}])"), "Well");
}

TEST(OpenAiRequest, PenaltiesAndSpecialTokensHaveTheModelsDefaults) {
  ServedModel served = stand_in_model();
  const auto config = base::parse_json(
      R"({"presence_penalty":0.5,"frequency_penalty":0.25,"repetition_penalty":1.5,"skip_special_tokens":false})", {});
  served.defaults = *parse_sampling_defaults(*config);
  const auto json = base::parse_json(R"({"prompt":"the","frequency_penalty":0})", {});
  const auto request = parse_openai_request(*json, kText, served, {});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->plan.sampling.presence_penalty, 0.5f);
  EXPECT_EQ(request->plan.sampling.frequency_penalty, 0);
  EXPECT_EQ(request->plan.sampling.repetition_penalty, 1.5f);
  EXPECT_FALSE(request->plan.skip_special);
}

TEST(OpenAiRequest, SaltsAndPrioritiesHaveVllmsRanges) {
  EXPECT_EQ(parse(kText, R"("priority":-9223372036854775808)")->plan.priority, INT64_MIN);
  const auto salt = [](const std::string& text, int n) {
    std::string many;
    for (int i = 0; i < n; ++i) many += text;
    return parse(kText, "\"cache_salt\":\"" + many + "\"").ok();
  };
  EXPECT_TRUE(salt("ä", 1024));
  EXPECT_FALSE(salt("ä", 1025));
}

TEST(OpenAiRequest, WhatAsksForNothingIsAccepted) {
  const Row rows[] = {
      {kText, R"("best_of":1,"suffix":null,"use_beam_search":false,"length_penalty":1,"user":"me")"},
      {kText, R"("spaces_between_special_tokens":true,"guided_json":null,"bad_words":[],"no_such_field":{"x":1})"},
      {kText, R"("stop":null,"logit_bias":null,"seed":-1,"top_k":-1,"stop":["",""],"n":1.0)"},
      {kText, R"("logprobs":false,"stream_options":{},"stop_token_ids":[5.0],"grammar":null,"regex":"","format":"")"},
      {kText, R"("spaces_between_special_tokens":false,"suffix":"","repetition_detection":{"max_pattern_size":0})"},
      {kText, R"("stream_options":{"include_usage":false},"my_schema":null,"json_schema":{})"},
      {kChat, R"("response_format":{"type":"text"},"tools":[],"tool_choice":"none","parallel_tool_calls":false)"},
      {kChat, R"("modalities":["text"],"metadata":{"a":"b"},"store":false,"reasoning_effort":"low")"},
      {kChat, R"("chat_template_kwargs":{"enable_thinking":false},"documents":[])"},
      {kChat, R"("thinking_token_budget":-1)"},
      {kChat, R"("thinking_token_budget":null)"},
      {kText, R"("thinking_token_budget":-1)"},
  };
  for (const Row& row : rows)
    EXPECT_TRUE(parse(row.endpoint, row.fields).ok()) << parse(row.endpoint, row.fields).status();
}

TEST(OpenAiRequest, SeedsThatClientsSend) {
  const auto seed = [](const char* fields) { return parse(kText, fields)->plan.sampling.seed; };
  EXPECT_EQ(seed(R"("seed":1)"), 1u);
  EXPECT_EQ(seed(R"("seed":1.0)"), 1u);
  EXPECT_EQ(seed(R"("seed":18446744073709551615)"), UINT64_MAX);
  EXPECT_EQ(seed(R"("seed":-2)"), UINT64_MAX - 1);
  EXPECT_NE(seed(R"("seed":-1)"), seed(R"("seed":-1)"));
  EXPECT_NE(seed(R"("seed":-1.0)"), seed(R"("seed":-1.0)"));
}

TEST(OpenAiRequest, LogitBiasesAreClamped) {
  const auto request = parse(kText, R"("logit_bias":{"1":1000,"2":-1e300,"3":5})");
  ASSERT_TRUE(request.ok()) << request.status();
  const auto& bias = request->plan.sampling.logit_bias;
  EXPECT_EQ(bias, (std::vector<std::pair<int32_t, float>>{{1, 100.0f}, {2, -100.0f}, {3, 5.0f}}));
}

TEST(OpenAiRequest, StopsAreBoundedByTheirFlag) {
  std::string many = "\"a\"";
  for (int i = 1; i < 64; ++i) many += ",\"a\"";
  EXPECT_TRUE(parse(kText, "\"stop\":[" + many + "]").ok());
  const absl::Status status = parse(kText, "\"stop\":[" + many + ",\"a\"]").status();
  EXPECT_EQ(status.message(), "stop: at most 64 stop strings (--max-stop-strings)");
}

TEST(OpenAiRequest, UnknownFieldsAreListed) {
  const auto request = parse(kText, R"("temperatur":0,"user":"me","min_p":0.1,"x":null)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->unknown_fields, (std::vector<std::string>{"temperatur", "x"}));
}

TEST(OpenAiRequest, Forms) {
  const Row rows[] = {
      {kChat, R"("response_format":{"type":"json_object"})"},
      {kChat, R"("response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}})"},
      {kChat, R"("response_format":{"type":"structural_tag","triggers":["<"],"structures":[{"begin":"<a>","schema":{},)"
              R"("end":"</a>"}]})"},
      {kText, R"("structured_outputs":{"json":{"type":"object"},"whitespace_pattern":"[ ]?"})"},
      {kText, R"("structured_outputs":{"choice":["a","b"],"regex":null})"},
      {kText,
       R"("guided_json":"{\"type\":\"object\"}","guided_whitespace_pattern":" ?","guided_decoding_backend":"x")"},
      {kText, R"("guided_regex":"a+")"},
      {kText, R"("guided_choice":["a"])"},
      {kText, R"("guided_grammar":"root ::= [0-9]+")"},
  };
  for (const Row& row : rows) {
    const auto got = parse(row.endpoint, row.fields);
    ASSERT_TRUE(got.ok()) << row.fields << " " << got.status();
    EXPECT_NE(got->plan.grammar, nullptr) << row.fields;
  }
}

TEST(OpenAiRequest, Truncation) {
  const auto parse_ids_of = [](const std::string& fields) {
    const auto json = base::parse_json("{\"prompt\":[5,6,7,8,9]," + fields + "}", {});
    auto request = parse_openai_request(*json, kText, model(), {});
    EXPECT_TRUE(request.ok()) << request.status();
    EXPECT_TRUE(resolve_prompts(*request, model()).ok());
    return request->plan.prompts[0];
  };
  EXPECT_EQ(parse_ids_of(R"("truncate_prompt_tokens":2)"), (std::vector<int32_t>{8, 9}));
  EXPECT_EQ(parse_ids_of(R"("truncate_prompt_tokens":2,"truncation_side":"right")"), (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(parse_ids_of(R"("truncate_prompt_tokens":-1,"max_tokens":97)"), (std::vector<int32_t>{7, 8, 9}));
  EXPECT_EQ(parse_ids_of(R"("truncate_prompt_tokens":50)").size(), 5u);
}

TEST(OpenAiFields, EachNameStandsOncePerEndpoint) {
  std::set<std::pair<std::string_view, int>> seen;
  for (const Field& field : openai_fields()) {
    for (const int bit : {1, 2}) {
      if ((field.endpoints & bit) == 0) continue;
      EXPECT_TRUE(seen.insert({field.name, bit}).second) << field.name;
    }
  }
}

// One row of docs/reference/api.md.
std::string markdown_row(const Field& field) {
  constexpr const char* kTreatments[] = {"used", "no effect", "refused"};
  constexpr const char* kEndpoints[] = {"", "completions", "chat", "both"};
  const std::string neutral = field.neutral.empty() ? "" : absl::StrCat(" but for `", std::string(field.neutral), "`");
  return absl::StrCat("| `", std::string(field.name), "` | ", kEndpoints[field.endpoints], " | ",
                      kTreatments[static_cast<int>(field.treatment)], neutral, " | ", std::string(field.note), " |\n");
}

TEST(OpenAiFields, ThePageHasEachOfThem) {
  std::ifstream in(std::string(POLYMATH_SOURCE_DIR) + "/docs/reference/api.md");
  const std::string page((std::istreambuf_iterator<char>(in)), {});
  for (const Field& field : openai_fields()) {
    EXPECT_NE(page.find(markdown_row(field)), std::string::npos) << "missing row: " << markdown_row(field);
  }
}

}  // namespace
}  // namespace polymath::api
