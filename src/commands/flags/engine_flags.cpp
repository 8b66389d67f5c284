// Flags of device, memory and scheduler.

#include "absl/strings/str_cat.h"
#include "backend/kv_packing.h"
#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "commands/speculation.h"
#include "engine/mixing.h"
#include "engine/policy.h"

namespace polymath::commands {
namespace {

absl::Status set_kv_bytes(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.kv_bytes, parse_bytes(value));
  if (o.runtime.kv_bytes == 0) return absl::InvalidArgumentError("must be above 0");
  return absl::OkStatus();
}

absl::Status set_kv_dtype(Options& o, std::string_view value) {
  if (value != "auto" && !backend::KvType::named(value).has_value()) {
    return absl::UnimplementedError(absl::StrCat("KV of type ", std::string(value),
                                                 " is not built; auto, bfloat16, float32, fp8, fp8_e4m3, fp8_e5m2 and "
                                                 "int8 are"));
  }
  o.runtime.kv_dtype = value;
  return absl::OkStatus();
}

absl::Status set_policy(Options& o, std::string_view value) {
  RETURN_IF_ERROR(engine::check_policy(value));
  o.runtime.policy = value;
  return absl::OkStatus();
}

absl::Status set_mode(Options& o, std::string_view value) {
  RETURN_IF_ERROR(engine::check_performance_mode(value));
  o.runtime.mixing.mode = engine::find_performance_mode(value);
  return absl::OkStatus();
}

absl::Status set_target_itl(Options& o, std::string_view value) {
  constexpr int64_t kMsMax = 60'000;
  ASSIGN_OR_RETURN(const int64_t ms, parse_int(value, {1, kMsMax}));
  o.runtime.mixing.target_itl_s = static_cast<double>(ms) / 1e3;
  return absl::OkStatus();
}

absl::Status set_mixed_tokens(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {0, kStepTokensMax}));
  o.runtime.mixing.prompt_tokens_max = static_cast<int>(n);
  return absl::OkStatus();
}

absl::Status set_expert_metrics(Options& o, std::string_view value) {
  if (value != "layer" && value != "expert") return absl::InvalidArgumentError("must be layer or expert");
  o.runtime.metrics.expert_series = value == "expert";
  return absl::OkStatus();
}

absl::Status set_speculation(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.speculation, parse_speculation(value));
  return absl::OkStatus();
}

absl::Status set_chunked_prefill(Options&, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  return wanted ? absl::OkStatus() : absl::UnimplementedError("prefill is always chunked; it cannot be switched off");
}

absl::Status set_device(Options& o, std::string_view value) {
  if (value == "gpu") value = "cuda";
  ASSIGN_OR_RETURN(o.runtime.backend, parse_choice(value, {"auto", "cpu", "cuda", "reference"}));
  return absl::OkStatus();
}

absl::Status set_isa(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const std::string isa, parse_choice(value, {"auto", "portable", "avx2", "avx512", "amx"}));
  o.runtime.isa = isa == "auto" ? "" : isa;
  return absl::OkStatus();
}

absl::Status set_async(Options&, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  return wanted ? absl::OkStatus() : absl::UnimplementedError("steps are always planned ahead where a GPU runs them");
}

absl::Status set_reserve(Options&, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  return wanted ? absl::OkStatus()
                : absl::UnimplementedError("a request starts only where blocks are free for its whole prompt");
}

absl::Status set_spec_method(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.speculation.method, parse_speculation_method(value));
  return absl::OkStatus();
}

absl::Status set_spec_tokens(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {1, engine::kDraftTokensMax}));
  o.runtime.speculation.n_draft_max = static_cast<int>(n);
  return absl::OkStatus();
}

absl::Status set_memory_share(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.memory_share, parse_number(value, 0.01, 1));
  return absl::OkStatus();
}

constexpr Flag kFlags[] = {
    {"device", "", FlagKind::kValue, kShapes | kInspect | kBenchQuality, "DEVICE", "auto",
     "cpu, cuda, or auto: cuda where it can be used, else cpu. reference: the slow one that others are compared with.",
     set_device},
    {"threads", "", FlagKind::kValue, kShapes | kBenchQuality | kQuantize, "N", "one a core",
     "Threads that compute. Cores are those of the affinity mask, at most what a CPU quota amounts to.",
     set_int<&RuntimeOptions::threads, 1, 1024>},
    {"isa", "", FlagKind::kValue, kShapes | kBenchQuality, "NAME", "auto",
     "Instruction set: auto, portable, avx2, avx512, amx.", set_isa},
    {"async-scheduling", "", kSwitch, kLoads, "", "on",
     "Accepted: a step is always planned while the one before runs, where the device chooses tokens (a GPU). Off: "
     "refused.",
     set_async},
    {"enforce-eager", "", kSwitch, kLoads, "", "off",
     "No steps are recorded as CUDA graphs: less memory, slower answers. On the CPU none ever is.",
     set_bool<&RuntimeOptions::eager>},
    {"batch-invariant", "", kSwitch, kShapes, "", "off",
     "An answer's tokens and logits have the same bits whatever runs beside it, however its prompt is cut, cached or "
     "computed again. Slower on a GPU; the CPU always holds it. Also VLLM_BATCH_INVARIANT. Refused for models whose "
     "routing looks at the whole step.",
     set_bool<&RuntimeOptions::batch_invariant>},
    {"require-fused", "", kSwitch, kLoads, "", "off",
     "Refuse to start where a decode step would run an op on its default composition of primitives; the message names "
     "the ops. The CPU backend fuses only the experts, so there it always refuses.",
     set_bool<&RuntimeOptions::require_fused>},
    {"gpu-memory-utilization", "", FlagKind::kValue, kLoads | kPlans, "SHARE", "0.9",
     "Share of a GPU's memory that weights, scratch and KV cache take together; 0.01 to 1. No effect on the CPU.",
     set_memory_share},
    {"device-memory-utilization", "", FlagKind::kValue, kLoads, "SHARE", "0.9", "The same as --gpu-memory-utilization.",
     set_memory_share},
    {"kv-cache-memory-bytes", "", FlagKind::kValue, kLoads, "BYTES",
     "the less of 4 GiB and 40 % of what weights leave free; on a GPU all that is left",
     "Memory of the KV cache; K, M, G are thousands, Ki, Mi, Gi powers of two. VLLM_CPU_KVCACHE_SPACE says the same in "
     "GiB.",
     set_kv_bytes},
    {"kv-cache-dtype", "", FlagKind::kValue, kShapes | kBenchQuality | kPlans, "TYPE", "auto",
     "auto (bfloat16 for bfloat16 weights, else float32), bfloat16 or float32; fp8 (fp8_e4m3), fp8_e5m2 and int8: a "
     "byte an element, with a scale for each token and head.",
     set_kv_dtype},
    {"block-size", "", FlagKind::kValue, kShapes | kBenchQuality | kPlans, "TOKENS", "16",
     "Tokens in a KV block; 1 to 1024.", set_int<&RuntimeOptions::block_size, 1, 1024>},
    {"num-gpu-blocks-override", "", FlagKind::kValue, kLoads, "N", "what the KV memory holds",
     "KV blocks, whatever they take.", set_int<&RuntimeOptions::kv_blocks, 2, 1 << 30>},
    {"enable-prefix-caching", "", kSwitch, kLoads, "", "on", "Prompts that begin alike share KV blocks.",
     set_bool<&RuntimeOptions::prefix_caching>},
    {"enable-chunked-prefill", "", kSwitch, kLoads, "", "on",
     "Prefill is always chunked; --no-enable-chunked-prefill refuses.", set_chunked_prefill},
    {"max-num-batched-tokens", "", FlagKind::kValue, kLoads | kPlans, "TOKENS", "2048; on a GPU of 64 GB and more 8192",
     "Tokens in one forward pass, prefill chunks and decodes together.",
     set_int<&RuntimeOptions::step_tokens, 1, kStepTokensMax>},
    {"performance-mode", "", FlagKind::kValue, kLoads, "MODE", "balanced",
     "How much prefill joins a pass that also decodes. A pass may take: balanced, 4 times its decodes alone, or 50 ms, "
     "and up to three times that under a long queue; "
     "interactivity or latency, 1.5 times or 10 ms; throughput, any time.",
     set_mode},
    {"target-itl-ms", "", FlagKind::kValue, kLoads, "MS", "the mode's",
     "Milliseconds that such a pass may take: the time between two tokens of an answer. Prompts get a fifth of a "
     "pass in any case.",
     set_target_itl},
    {"mixed-prefill-tokens", "", FlagKind::kValue, kLoads, "TOKENS", "by --performance-mode",
     "Prefill tokens of such a pass, whatever it takes; 0: no limit of its own.", set_mixed_tokens},
    {"max-num-seqs", "", FlagKind::kValue, kLoads | kPlans, "N", "256; on a GPU of 64 GB and more 1024",
     "Answers generated at once; the others wait.", set_int<&RuntimeOptions::sequences, 1, kSequencesMax>},
    {"max-num-queued-reqs", "", FlagKind::kValue, kServe, "N", "4096",
     "Choices that may wait; beyond it requests get 429 with Retry-After. Connections are bounded accordingly.",
     set_int<&RuntimeOptions::waiting, 1, kWaitingMax>},
    {"max-num-queued-tokens", "", FlagKind::kValue, kServe, "TOKENS", "no bound",
     "Prompt tokens of all that wait; beyond it the same. An empty queue takes any prompt.",
     set_int<&RuntimeOptions::waiting_tokens, 1, INT32_MAX>},
    {"expert-metrics", "", FlagKind::kValue, kServe, "SERIES", "layer",
     "Metrics of the experts' load: layer (three series a layer), or expert (also a counter of each expert).",
     set_expert_metrics},
    {"scheduling-policy", "", FlagKind::kValue, kServe, "POLICY", "fcfs",
     "fcfs: in order of arrival; priority: the lowest priority number of the request first.", set_policy},
    {"speculative-config", "", FlagKind::kValue, kServe | kRun, "JSON", "none",
     "Speculative decoding: {\"method\": \"ngram\", \"num_speculative_tokens\": N, \"prompt_lookup_max\": N, "
     "\"prompt_lookup_min\": N}. Answers stay the same.",
     set_speculation},
    {"spec-method", "", FlagKind::kValue, kServe | kRun, "METHOD", "none",
     "The method of --speculative-config: ngram. With --spec-tokens.", set_spec_method},
    {"spec-tokens", "", FlagKind::kValue, kServe | kRun, "N", "none",
     "The num_speculative_tokens of --speculative-config; 1 to 64.", set_spec_tokens},
    {"scheduler-reserve-full-isl", "", kSwitch, kLoads, "", "on",
     "Accepted: a request starts only where KV blocks are free for its whole prompt. Off: refused.", set_reserve},
    {"tensor-parallel-size", "-tp", FlagKind::kValue, kLoads | kPlans, "N", "1",
     "Ranks that split each layer: threads of this process. Up to 64 share the CPU; each of up to 8 has a GPU.",
     set_int<&RuntimeOptions::tensor_parallel, 1, 64>},
    {"enable-expert-parallel", "-ep", kSwitch, kLoads | kPlans, "", "off",
     "With --tensor-parallel-size: each rank has whole experts of its own, instead of a part of every expert.",
     set_bool<&RuntimeOptions::expert_parallel>},
    {"max-seq-len-to-capture", "", FlagKind::kValue, kLoads, "TOKENS", "", "Accepted: CUDA graphs do not depend on it.",
     accept},
    {"disable-custom-all-reduce", "", kSwitch, kLoads, "", "on", "Accepted: there is no custom all-reduce.", accept},
};

}  // namespace

std::span<const Flag> engine_flags() { return kFlags; }

}  // namespace polymath::commands
