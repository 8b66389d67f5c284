#pragma once

// Runs a workload against a server: sends each request when it is due, and collects the records.

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "commands/http/http_client.h"
#include "commands/load/answer_reader.h"
#include "commands/load/arrivals.h"
#include "commands/load/dialect.h"
#include "commands/load/record.h"
#include "commands/load/workload.h"

namespace polymath::commands::load {

struct RunnerOptions {
  const Dialect* dialect = nullptr;
  std::string path;
  AskOptions ask;
  bool open_loop = false;   // conversations are due at arrival times; else as soon as a client is free
  int concurrency_max = 1;  // requests at once; others wait, and in an open loop their latency counts from when due
};

struct RunResult {
  std::vector<Record> records;  // in the order of their ends
  double seconds = 0;           // from the first request's due time to the last response's end
};

class Runner {
 public:
  // `due`: arrival times in order, one a conversation; ignored in a closed loop. `trace`: empty, or one row each.
  Runner(http::HttpClient& client, const http::Target& target, const RunnerOptions& options,
         const WorkloadOptions& workload);

  // Blocks until each request has ended. kUnavailable: the system's, not the server's; those are in the records.
  absl::StatusOr<RunResult> run(const std::vector<double>& due, const std::vector<TraceRow>& trace);

 private:
  bool may_start() const;
  void start_due(const std::vector<double>& due, const std::vector<TraceRow>& trace);
  void ask(int conversation, double due);
  void on_done(AnswerReader& reader);
  double now() const;

  struct NextTurn {
    int conversation = 0;
    double due = 0;
  };

  http::HttpClient& client_;
  const http::Target& target_;
  const RunnerOptions options_;
  const WorkloadOptions workload_;
  double epoch_ = 0;
  int next_ = 0;                    // the first conversation that has not begun
  std::deque<NextTurn> followers_;  // turns that follow an answer
  std::map<int, std::unique_ptr<Conversation>> open_;
  std::map<const AnswerReader*, std::unique_ptr<AnswerReader>> readers_;
  std::vector<std::unique_ptr<AnswerReader>> done_;  // freed once the client has returned from them
  RunResult result_;
};

}  // namespace polymath::commands::load
