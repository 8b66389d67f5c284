// vLLM's flags that are not built: each refuses with its help, unless the value is neutral.

#include "commands/flags/flag_tables.h"

namespace polymath::commands {
namespace {

constexpr Flag kFlags[] = {
    {"decode-context-parallel-size", "-dcp", FlagKind::kValue, kLoads, "N", "",
     "splitting a model over devices is not built yet; 1 is", nullptr, "1"},
    {"prefill-context-parallel-size", "-pcp", FlagKind::kValue, kLoads, "N", "",
     "splitting a model over devices is not built yet; 1 is", nullptr, "1"},
    {"api-server-count", "", FlagKind::kValue, kServe, "N", "", "there is one server process, with threads", nullptr,
     "1"},
    {"num-scheduler-steps", "", FlagKind::kValue, kLoads, "N", "", "a step is one forward pass", nullptr, "1"},
    {"distributed-executor-backend", "", FlagKind::kValue, kLoads, "NAME", "", "there is one process", nullptr,
     "uni mp"},
    {"cpu-offload-gb", "", FlagKind::kValue, kLoads, "GIB", "", "offloading is not built yet", nullptr, "0"},
    {"swap-space", "", FlagKind::kValue, kLoads, "GIB", "", "KV is recomputed, never swapped", nullptr, "0 4"},
    {"long-prefill-token-threshold", "", FlagKind::kValue, kLoads, "N", "",
     "not built yet; --mixed-prefill-tokens keeps long prompts from slowing answers", nullptr, "0"},
    {"tokenizer-mode", "", FlagKind::kValue, kAll, "MODE", "", "the model's files decide", nullptr, "auto hf"},
    {"override-generation-config", "", FlagKind::kValue, kServe, "JSON", "",
     "not built yet; change generation_config.json", nullptr, "{}"},
    {"download-dir", "", FlagKind::kValue, kAll, "DIR", "", "nothing is downloaded; HF_HUB_CACHE names the cache",
     nullptr, ""},
    {"speculative-model", "", FlagKind::kValue, kLoads, "MODEL", "",
     "not built; --speculative-config is, with the method ngram", nullptr, ""},
    {"num-speculative-tokens", "", FlagKind::kValue, kLoads, "N", "",
     "not built; --speculative-config is, with the method ngram", nullptr, "0"},
    {"structured-outputs-config", "", FlagKind::kValue, kServe, "JSON", "",
     "grammars have one implementation, without options", nullptr, "{}"},
    {"guided-decoding-backend", "", FlagKind::kValue, kServe, "NAME", "", "grammars have one implementation", nullptr,
     "auto"},
    {"default-chat-template-kwargs", "", FlagKind::kValue, kServe, "JSON", "",
     "not built yet; requests may send chat_template_kwargs", nullptr, "{}"},
    {"response-role", "", FlagKind::kValue, kServe, "NAME", "", "not built yet", nullptr, "assistant"},
    {"kv-transfer-config", "", FlagKind::kValue, kLoads, "JSON", "", "moving KV between processes is not built yet",
     nullptr, "{}"},
    {"kv-events-config", "", FlagKind::kValue, kLoads, "JSON", "", "KV events are not built yet", nullptr, "{}"},
    {"compilation-config", "-cc", FlagKind::kValue, kLoads, "JSON", "", "there is nothing to compile", nullptr, "0 {}"},
    {"attention-backend", "", FlagKind::kValue, kLoads, "NAME", "", "the device chooses; --isa narrows it", nullptr,
     "auto"},
    {"moe-backend", "", FlagKind::kValue, kLoads, "NAME", "", "the device chooses; --isa narrows it", nullptr, "auto"},
    {"enable-log-requests", "", kSwitch, kServe, "", "", "requests are never written to the log", nullptr, ""},
    {"enable-log-outputs", "", kSwitch, kServe, "", "", "answers are never written to the log", nullptr, ""},
    {"enable-sleep-mode", "", kSwitch, kServe, "", "", "sleep mode is not built yet", nullptr, ""},
    {"root-path", "", FlagKind::kValue, kServe, "PATH", "", "not built yet; let the proxy strip it", nullptr, "/"},
    {"middleware", "", FlagKind::kValue, kServe, "NAME", "", "there is no Python in this server", nullptr, ""},
    {"otlp-traces-endpoint", "", FlagKind::kValue, kServe, "URL", "", "traces are not built yet", nullptr, ""},
    {"ssl-ca-certs", "", FlagKind::kValue, kServe, "FILE", "", "client certificates are not built yet", nullptr, ""},
    {"watchdog-config", "", FlagKind::kValue, kServe, "JSON", "",
     "its members are not understood; --step-timeout and --startup-timeout watch the engine", nullptr, "{}"},
    {"config", "", FlagKind::kValue, kServe, "FILE", "", "files of flags are not built yet", nullptr, ""},
    {"grpc", "", kSwitch, kServe, "", "", "gRPC is not built yet", nullptr, ""},
};

}  // namespace

std::span<const Flag> refused_flags() { return kFlags; }

}  // namespace polymath::commands
