#pragma once

// The checked command line and environment, split by the code that reads each part. Only the flag table
// (commands/flags) fills an Options; every function takes the part it reads.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "commands/deploy/options.h"
#include "commands/load/options.h"
#include "commands/metric_bounds.h"
#include "commands/plan/options.h"
#include "commands/pull/options.h"
#include "engine/options.h"
#include "model/balance/options.h"
#include "parallel/rank_trace.h"

namespace polymath::commands {

// One of --lora-modules.
struct AdapterModule {
  std::string name;        // as requests call it
  std::string path;        // a directory, or org/name in the local Hugging Face cache
  std::string base_model;  // /v1/models shows it as the parent; empty: the first served name
};

inline constexpr int kAdapterRankDefault = 16;

struct AdapterOptions {
  bool enabled = false;
  std::vector<AdapterModule> modules;
  std::optional<int> n_max;     // absent: as many as modules
  std::optional<int> rank_max;  // absent: kAdapterRankDefault
};

// Which checkpoint, and how to load it.
struct ModelOptions {
  std::string name;  // a directory, or org/name in the local Hugging Face cache
  std::string revision;
  std::vector<std::string> served_names;  // empty: `name`
  std::string dtype = "auto";
  std::string load_format = "auto";
  bool gguf = false;              // of a directory, the GGUF file is wanted
  std::string quantization;       // as --quantization has it; empty: as the checkpoint is
  base::JsonObject hf_overrides;  // over config.json's members
  std::optional<uint64_t> seed;   // of dummy weights
  int max_model_len = 0;          // 0: max_position_embeddings, or the KV cache's capacity if that is less
  AdapterOptions adapters;
};

// What turns text into tokens and back, and the sampling defaults.
struct TextOptions {
  std::string tokenizer;  // a directory or org/name; empty: the model's own
  bool skip_tokenizer = false;
  std::string generation_config = "auto";
  std::string chat_template;  // a file, or the template's text; empty: the model's own
  std::string content_format = "auto";
  std::string tool_parser = "auto", reasoning_parser = "auto";  // or none, or a format's name
  bool needs_tools = false;                                     // refuse to start where tool calls stay text
};

inline constexpr int kDefaultSequencesMax = 1024;  // of any device, where no flag says how many

// Device, memory and scheduling: what Runtime reads beside the model.
// Ranks on several machines.
struct NodeSettings {
  int size = 1, at = 0;
  std::string host = "127.0.0.1";  // of node 0
  int port = 29501;
  std::string secret, secret_file;  // one of them is set where there are several nodes
  double join_seconds = 600;        // that the others may take to come
  bool headless = false;
};

struct RuntimeOptions {
  std::string backend = "auto";  // cuda if usable, else cpu
  int threads = 0;               // 0: one a core
  std::string isa;               // empty: the best the CPU has
  bool eager = false;            // no CUDA graphs
  bool batch_invariant = false;  // an answer's bits do not depend on what else runs
  int tensor_parallel = 1;       // ranks that split each layer; they share `threads`
  bool expert_parallel = false;  // with more ranks than one: whole experts on each
  int replicas = 1;              // of data parallelism, each with tensor_parallel ranks and a KV cache
  bool moves_experts = false;    // with expert_parallel: experts move between the ranks by their load
  model::BalanceOptions balance;
  bool require_fused = false;  // refuse to start where an op would run on its default composition

  int pipeline_parallel = 1;          // stages that split the layers, each of `tensor_parallel` ranks
  std::vector<int> pipeline_layers;   // of each stage; empty: even
  double rank_timeout_s = 4;          // without progress of a rank; 0: no limit
  parallel::PlannedFault rank_fault;  // for tests

  NodeSettings nodes;

  int block_size = 16;
  double memory_share = 0.9;  // of a GPU's memory, for weights, scratch and KV cache together
  int64_t kv_bytes = 0;       // 0: on a CPU a share of free memory; on a GPU the rest of memory_share
  int kv_blocks = 0;          // 0: as many as kv_bytes hold
  std::string kv_dtype = "auto";
  bool prefix_caching = true;

  int step_tokens = 0;  // 0: by the device's memory, see runtime.cpp
  engine::MixingOptions mixing{.prompt_tokens_max = -1};
  int sequences = 0;  // the same
  int waiting = 4096;
  int waiting_tokens = 0;       // of waiting prompts together; 0: no bound
  std::string policy = "fcfs";  // a name of engine::policies()
  engine::SpeculationOptions speculation;
  engine::MetricsOptions metrics;  // Runtime fills in what it knows of cache and adapters
};

// What `serve` reads beside the model and the runtime.
struct ServerOptions {
  std::string host = "0.0.0.0";
  int port = 8000;
  std::string unix_socket;
  std::vector<std::string> api_keys;
  std::string api_key_file, admin_key;  // empty: none
  bool protect_metrics = false;
  bool allow_anonymous = false;
  std::optional<int> probe_port;                           // absent: none
  int connections_per_address = 0;                         // 0: no limit
  int64_t body_memory = 256 << 20, json_memory = 1 << 30;  // bytes
  bool tls_refresh = false;
  std::optional<std::string> environment_api_key;  // VLLM_API_KEY; used if api_keys is empty
  std::string tls_certificate, tls_key;
  std::vector<std::string> origins;  // for CORS; empty: none
  double drain_delay_s = 0;          // from the signal to the drain
  double shutdown_timeout_s = 30;
  double step_timeout_s = 300;   // of one step of the engine; 0: no limit
  double startup_timeout_s = 0;  // until requests are taken; 0: no limit
  bool dry_run = false;
  bool allow_core_dumps = false;
  bool trust_request_chat_template = false;
  int logprobs = 20;
  int stop_strings = 64;
  int best_of = 20, top_tokens = 20;  // TGI's best_of and top_n_tokens
  int prompts = 1024;                 // of one request
  int input_tokens = 0;               // of a prompt; 0: no bound of its own
  int64_t body_bytes = 32 << 20;      // of one request
  double keep_alive_s = 15;           // silence of a stream before it sends a comment; 0: never
  bool clamp_max_tokens = false;
  bool share_prefix_cache = false;  // between API keys
  bool flat_errors = false;         // error bodies as in vLLM 0.6.3
  bool tokenizer_info = false;
  bool request_metrics = false;
  bool metrics_per_rank = false;
  bool dcgm_metrics = false;                   // of all GPUs, not only of those that compute
  bool force_usage = false;                    // streams carry the usage unasked
  std::vector<MetricBounds> histogram_bounds;  // instead of a histogram's own
  int stream_interval = 1;
  int fail_step = 0, stall_step = 0;  // for tests: the engine step that fails or never ends; 0: none
};

// `run`.
struct RunOptions {
  std::optional<std::string> prompt;
  std::string system;
  std::optional<int> max_tokens;
  std::optional<double> temperature, top_p;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
};

// `bench`.
struct BenchOptions {
  int input = 512;  // prompt tokens of a sequence
  int output = 64;  // decoded tokens of a sequence
  struct Prefill {
    int prompts = 1, length = 0;  // of one step
    int tokens() const { return prompts * length; }
  };
  std::vector<Prefill> prefills;  // empty: one prompt of `input` tokens
  std::vector<Prefill> timed_prefills() const { return prefills.empty() ? std::vector<Prefill>{{1, input}} : prefills; }
  bool feedback = false;
  std::string output_json;
  int repeats = 3;
  std::vector<int> batch;    // empty: 1, 16, 32
  bool same_tokens = false;  // token 0 everywhere: all sequences visit the same experts
};

// `bench quality`.
struct QualityOptions {
  std::string against, text;             // the reference model, and the file
  std::string reference_dtype = "auto";  // of its weights
  int context = 512;                     // tokens of a window
  int tokens = 8192;                     // of the text at most
};

// `quantize`. The model is what it reads.
struct QuantizeOptions {
  std::string out;        // a file or directory that does not exist yet
  std::string format;     // of the matrices
  std::string calibrate;  // a text; empty: none
};

// `inspect`.
struct InspectOptions {
  bool json = false;
};

// `kernels`.
struct KernelsOptions {
  bool measure = false;
};

struct Options {
  ModelOptions model;
  TextOptions text;
  RuntimeOptions runtime;
  ServerOptions server;
  RunOptions run;
  BenchOptions bench;
  QualityOptions quality;
  QuantizeOptions quantize;
  load::LoadOptions load;  // of `bench serve`
  InspectOptions inspect;
  KernelsOptions kernels;
  PlanOptions plan;
  std::vector<std::string> warnings;  // accepted flags without effect; logged once the log is set up
  DeployOptions deploy;
  PullOptions pull;
};

}  // namespace polymath::commands
