#pragma once

// What the engine is started with. check_options() refuses what cannot work, with a sentence.

#include <cstdint>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"
#include "engine/mixing.h"
#include "model/model.h"

namespace polymath::engine {

inline constexpr int kDraftTokensMax = 64;   // n_draft_max; more: kInvalidArgument
inline constexpr int kLookupTokensMax = 64;  // lookup_max; more: kInvalidArgument

// Speculative decoding. A proposer guesses tokens; one step of the model checks them all. A guess is accepted only if
// sampling gives the same token. So every output equals that of plain decoding.
struct SpeculationOptions {
  std::string method;   // a name of proposers(); empty: no speculation
  int n_draft_max = 0;  // draft tokens of a sequence in a step; beyond: not proposed
  int lookup_min = 5;   // ngram: a match of fewer tokens is ignored
  int lookup_max = 5;   // ngram: longer matches are not looked for
};

// Which metrics there are, beside those under the names of vLLM's newest release.
struct MetricsOptions {
  int engine = 0, n_engines = 1;      // the label `engine`: which of how many replicas
  bool vllm_063 = false;              // vLLM 0.6.3: no label `engine`, and the names that are gone since
  bool tgi = false;                   // tgi_*
  bool expert_series = false;         // a series of each expert, as ExpertMetrics has them
  double log_seconds = 10;            // between two lines of the log with throughput; 0: none
  base::Labels cache_config;          // more labels of vllm:cache_config_info
  std::vector<std::string> adapters;  // names of the LoRA adapters, by index
  int adapters_max = 0;               // 0: LoRA is off
};
// The labels of a model's vllm: and polymath: metrics.
base::Labels metric_labels(const std::string& model_name, const MetricsOptions& options);

struct EngineOptions {
  std::string model_name;          // label model_name of the metrics
  int block_size = 16;             // tokens in a KV block
  int64_t n_blocks = 0;            // KV blocks; REQUIRES: >= 2
  int model_len_max = 0;           // prompt + output tokens; a longer prompt: kInvalidArgument
  int step_tokens_max = 2048;      // tokens in one forward; the rest comes in the next
  MixingOptions mixing;            // prompt tokens in a step that also decodes
  StepTimes times;                 // what is known of them before the first step
  int sequences_max = 256;         // running at once; the others wait
  int logit_rows_max = 0;          // in a step; 0: sequences_max. Speculation needs 1 + n_draft_max a sequence
  int waiting_max = 4096;          // queue bound; beyond it submit() returns kResourceExhausted
  int64_t waiting_tokens_max = 0;  // of waiting prompts together; the same. 0: no bound
  bool prefix_caching = true;
  std::string policy = "fcfs";  // a name of policies()
  SpeculationOptions speculation;
  MetricsOptions metrics;

  // For a model with recurrent layers (Model::has_state()), see SchedulerLimits. Else 0.
  int n_state_slots = 0;
  int n_state_snapshots = 0;
  int snapshot_blocks = 0;
};

// kInvalidArgument: unknown policy or method, number out of range, speculation on recurrent layers.
absl::Status check_options(const EngineOptions& options, const model::Model& model);

}  // namespace polymath::engine
