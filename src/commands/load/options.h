#pragma once

// What `bench serve` reads beside the shared --model, --host, --port, --api-key, --seed and --temperature.

#include <string>
#include <vector>

#include "commands/load/arrivals.h"
#include "commands/load/lengths.h"
#include "commands/load/measures.h"

namespace polymath::commands::load {

struct LoadOptions {
  std::string backend = "openai";  // a name of dialects()
  std::string base_url;            // empty: --host and --port
  std::string endpoint;            // a path; empty: the dialect's
  std::vector<std::string> headers;

  int prompts = 1000;  // conversations, if there is no trace
  int turns = 1;
  ArrivalOptions arrivals;
  std::string trace;        // a file; empty: none
  int concurrency_max = 0;  // 0: no bound but that of descriptors
  int warmups = 0;          // requests before those that are measured
  double timeout_s = 600;

  Length input_len{1024}, output_len{128};
  int prefix_len = 0;
  int n_prefixes = 1;
  int vocab = 2048;
  std::string prompt_form = "auto";  // ids or text; auto: ids where the dialect takes them
  bool ignore_eos = true;
  bool return_token_ids = true;

  std::vector<Latency> shown;       // empty: all
  std::vector<double> percentiles;  // empty: 50, 90, 95, 99
  std::vector<Bound> bounds;        // of goodput
  bool save_result = false;         // to --result-filename, or a name of the command's own
  bool save_detailed = false;       // each request, too
  std::string svg;
};

}  // namespace polymath::commands::load
