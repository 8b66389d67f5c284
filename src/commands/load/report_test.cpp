// The table, the JSON and the plot of one small run.

#include "commands/load/report.h"

#include <gtest/gtest.h>

#include "commands/load/plot.h"

namespace polymath::commands::load {
namespace {

RunResult small_run() {
  RunResult run;
  Record record;
  record.due = record.sent = 0;
  record.end = 2;
  record.events = {{0.5, 1}, {1, 2}};
  record.output_tokens = 3;
  record.counted = {3, 0, 0};
  record.status = 200;
  record.prompt_tokens = 7;
  run.records = {record, record};
  run.records[1].error = "<busy>";
  run.records[1].status = 429;
  run.seconds = 2;
  return run;
}

TEST(Report, TableAndJson) {
  LoadOptions options;
  options.bounds = {{Latency::kTtft, 600}};
  options.concurrency_max = 4;
  options.save_detailed = true;
  const RunResult run = small_run();
  const Measures m = measure(run, options.bounds);
  const RunFacts facts{options, "http://h:1/v1/completions", "m", 5, 3};
  const std::string table = report_table(facts, m);
  for (const char* part :
       {"closed loop, 4 at once", "1 of 3 completed in 2.00 s, 1 failed, 1 turns after a failure not sent",
        "0.50 requests/s, 1.5 output tok/s, 5.0 tok/s in all", "7 prompt (counted by the server)",
        "3 output (counted by token_ids)", "0.50 requests/s: 1 of 2 within ttft 600 ms", "429: <busy>"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  }
  const base::JsonObject json = report_json(facts, m, run);
  EXPECT_EQ(json.at("completed").as_int64(), 1);
  EXPECT_EQ(json.at("mean_ttft_ms").as_double(), 500);
  EXPECT_EQ(json.at("p99_itl_ms").as_double(), 495);
  EXPECT_EQ(json.at("request_goodput").as_double(), 0.5);
  EXPECT_EQ(json.at("request_rate").as_string(), "inf");
  EXPECT_EQ(json.at("max_concurrency").as_int64(), 4);
  EXPECT_EQ(json.at("failures_by_status").as_object().at("429").as_int64(), 1);
  EXPECT_EQ(json.at("tokens_counted_by").as_object().at("token_ids").as_int64(), 3);
  EXPECT_EQ(json.at("requests").as_array().size(), 2u);
  EXPECT_TRUE(base::parse_json(base::to_text(json), {}).ok());
}

TEST(Report, SaysHowTokensWereCounted) {
  const LoadOptions options;
  RunResult run = small_run();
  run.records[0].counted = {1, 0, 1};
  const std::string table = report_table({options, "u", "", 0, 2}, measure(run, {}));
  EXPECT_NE(table.find("token_ids 50.0 %, text_events 50.0 %, the last usage alone, without times: 1"),
            std::string::npos)
      << table;
}

TEST(Report, OnlyWhatIsShown) {
  LoadOptions options;
  options.shown = {Latency::kE2el};
  options.percentiles = {99.9};
  const RunResult run = small_run();
  const Measures m = measure(run, {});
  const base::JsonObject json = report_json({options, "u", "", 0, 2}, m, run);
  EXPECT_TRUE(json.contains("p99.9_e2el_ms"));
  EXPECT_FALSE(json.contains("mean_ttft_ms"));
  EXPECT_FALSE(json.contains("requests"));
  EXPECT_EQ(report_table({options, "u", "", 0, 2}, m).find("time to first token"), std::string::npos);
}

TEST(Plot, IsOneSelfContainedSvg) {
  const RunResult run = small_run();
  const std::string svg = plot_svg("a <model> & more", measure(run, {}), run);
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("a &lt;model> &amp; more"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(svg.find("p99 500 ms"), std::string::npos);
  for (const char* part : {"<script", "href", "url(", "nan", "inf"})
    EXPECT_EQ(svg.find(part), std::string::npos) << part;
}

TEST(Plot, OfNothing) {
  const RunResult run;
  const std::string svg = plot_svg("t", measure(run, {}), run);
  EXPECT_NE(svg.find("not measured"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace polymath::commands::load
