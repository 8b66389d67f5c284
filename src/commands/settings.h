#pragma once

// What the command line and the environment ask for, after it was checked. One struct for every verb: a verb reads
// what its flags can set (flag_table.cpp says which).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace polymath::commands {

struct Settings {
  // The model.
  std::string model;
  std::string revision;
  std::string tokenizer;  // a directory or name; empty: the model's own
  std::vector<std::string> served_names;
  std::string dtype = "auto";
  std::string load_format = "auto";
  std::optional<uint64_t> seed;  // of dummy weights; of `run`: also of the answers
  bool skip_tokenizer = false;
  std::string generation_config = "auto";
  std::string chat_template;  // a file, or the template itself; empty: the model's own
  std::string content_format = "auto";
  int max_model_len = 0;  // 0: what the model allows and memory holds

  // Memory and scheduling.
  int block_size = 16;
  double memory_share = 0.9;  // of a GPU's memory, for everything
  int64_t kv_bytes = 0;       // 0: a share of what is free; on a GPU all that is left of memory_share
  int kv_blocks = 0;     // 0: as many as kv_bytes hold
  std::string kv_dtype = "auto";
  bool prefix_caching = true;
  int step_tokens = 2048;
  int mixed_prefill_tokens = -1;  // -1: a share for each thread (house.cpp); 0: no limit
  int sequences = 256;
  int waiting = 1024;
  bool priority_policy = false;

  // The device.
  std::string backend = "auto";  // cuda where it can be used, else cpu
  int threads = 0;               // 0: one a core
  std::string isa;               // empty: the best the CPU has
  bool eager = false;            // no steps are recorded

  // The server.
  std::string host = "0.0.0.0";
  int port = 8000;
  std::string unix_socket;
  std::vector<std::string> api_keys;
  std::string environment_api_key;  // VLLM_API_KEY; counts where --api-key says nothing
  std::string tls_certificate, tls_key;
  std::optional<std::vector<std::string>> origins;  // absent: any
  double shutdown_timeout_s = 30;
  bool log_stats = true;
  bool trust_request_chat_template = false;
  int logprobs = 20;
  int stop_strings = 4;
  int fail_step = 0;  // for tests: this step fails as if the device had; 0: none

  // `run`.
  std::optional<std::string> prompt;
  std::string system;
  std::optional<int> max_tokens;
  std::optional<double> temperature, top_p;
  std::optional<int> top_k;

  // `bench`.
  int bench_input = 512;
  int bench_output = 64;
  int bench_prefill = 0;  // 0: bench_input
  bool bench_feedback = false;
  std::string bench_output_json;
  int bench_repeats = 3;
  std::vector<int> bench_batch;    // empty: 1, 16, 32
  bool bench_same_tokens = false;  // token 0 everywhere, so that all sequences visit the same experts

  // `inspect`.
  bool json = false;

  // Said once the log is set up: flags that were accepted and change nothing.
  std::vector<std::string> warnings;
};

}  // namespace polymath::commands
