// Flags of nodes, of pipeline stages, of ranks that fail, of replicas, and of experts that move between ranks.

#include "commands/expert_balance.h"
#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "engine/replicas/chooser.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::commands {
namespace {

template <int model::BalanceOptions::*field, const IntRange& range>
absl::Status set_balance(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, range));
  o.runtime.balance.*field = static_cast<int>(n);
  return absl::OkStatus();
}
constexpr auto set_redundant = set_balance<&model::BalanceOptions::n_redundant, kRedundantExperts>;
constexpr auto set_window = set_balance<&model::BalanceOptions::window_steps, kBalanceSteps>;
constexpr auto set_interval = set_balance<&model::BalanceOptions::interval_steps, kBalanceSteps>;
constexpr auto set_log_steps = set_balance<&model::BalanceOptions::log_steps, kBalanceSteps>;

absl::Status set_logs(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.balance.logs, parse_bool(value));
  return absl::OkStatus();
}

absl::Status set_config(Options& o, std::string_view value) { return read_balance_config(value, o.runtime.balance); }

absl::Status set_pipeline_layers(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.pipeline_layers, parse_layer_counts(value));
  return absl::OkStatus();
}

absl::Status set_rank_timeout(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.rank_timeout_s, parse_number(value, 0, 86400));
  return absl::OkStatus();
}

absl::Status set_master_addr(Options& o, std::string_view value) {
  o.runtime.nodes.host = value;
  return absl::OkStatus();
}

absl::Status set_secret_file(Options& o, std::string_view value) {
  o.runtime.nodes.secret_file = value;
  return absl::OkStatus();
}

absl::Status set_headless(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.nodes.headless, parse_bool(value));
  return absl::OkStatus();
}

absl::Status set_join_timeout(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.nodes.join_seconds, parse_number(value, 1, 86400));
  return absl::OkStatus();
}

template <int NodeSettings::*field, const IntRange& range>
absl::Status set_nodes(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, range));
  o.runtime.nodes.*field = static_cast<int>(n);
  return absl::OkStatus();
}
constexpr IntRange kNodes{1, parallel::NodeMesh::kNodesMax}, kNodeRanks{0, parallel::NodeMesh::kNodesMax - 1},
    kPorts{1, 65535};

constexpr Flag kFlags[] = {
    {"nnodes", "-n", FlagKind::kValue, kServe, "N", "1",
     "Machines, each with a process and one rank: --tensor-parallel-size times --pipeline-parallel-size. CPU only so "
     "far. Each needs the same model, flags and build, and --node-secret-file. Also LWS_GROUP_SIZE, "
     "OMPI_COMM_WORLD_SIZE.",
     set_nodes<&NodeSettings::size, kNodes>},
    {"node-rank", "-r", FlagKind::kValue, kServe, "N", "0",
     "This machine's place. 0 has the door, the others compute what it sends. Also LWS_WORKER_INDEX, "
     "OMPI_COMM_WORLD_RANK.",
     set_nodes<&NodeSettings::at, kNodeRanks>},
    {"master-addr", "", FlagKind::kValue, kServe, "HOST", "127.0.0.1",
     "Where node 0 listens for the others. Also LWS_LEADER_ADDRESS.", set_master_addr},
    {"master-port", "", FlagKind::kValue, kServe, "PORT", "29501", "The same.", set_nodes<&NodeSettings::port, kPorts>},
    {"node-secret-file", "", FlagKind::kValue, kServe, "FILE", "",
     "A secret of 16 bytes or more that all nodes know; they prove it to each other. Steps then go over the network "
     "in the clear. Also POLYMATH_NODE_SECRET.",
     set_secret_file},
    {"node-join-timeout", "", FlagKind::kValue, kServe, "SECONDS", "600", "That the other nodes may take to come.",
     set_join_timeout},
    {"headless", "", kSwitch, kServe, "", "off", "Accepted on nodes other than 0, which never have a door.",
     set_headless},
    {"pipeline-parallel-size", "-pp", FlagKind::kValue, kLoads, "N", "1",
     "Stages that split the layers, each with --tensor-parallel-size ranks. As many steps run at once. On the CPU.",
     set_int<&RuntimeOptions::pipeline_parallel, 1, 64>},
    {"pipeline-layers", "", FlagKind::kValue, kLoads, "N,N,...", "even",
     "Layers of each stage, from the first on. Also VLLM_PP_LAYER_PARTITION.", set_pipeline_layers},
    {"rank-timeout", "", FlagKind::kValue, kLoads, "SECONDS", "4",
     "Without progress of one of several ranks: then every request ends with an error, and the process with a status "
     "other than 0. A rank whose slowest layer took long gets more time. Raise it where a layer of the first long "
     "prompt takes longer. 0: no limit.",
     set_rank_timeout},
    {"data-parallel-size", "-dp", FlagKind::kValue, kLoads, "N", "1",
     "Replicas in this process, each with a scheduler and a KV cache of its own. Requests go to them by load and by "
     "cached prefix. On the CPU they share weights and threads; on GPUs each has its own. Only `serve` runs several.",
     set_int<&RuntimeOptions::replicas, 1, engine::ReplicaChooser::kReplicasMax>},
    {"enable-eplb", "", kSwitch, kLoads, "", "off",
     "With --enable-expert-parallel, experts move between ranks so that measured loads become even. Steps go on "
     "meanwhile. Answers may differ by the rounding of sums over ranks. CPU only so far.",
     set_bool<&RuntimeOptions::moves_experts>},
    {"eplb-config", "", FlagKind::kValue, kLoads, "JSON", "{}",
     "For --enable-eplb: {\"window_size\": N, \"step_interval\": N, \"num_redundant_experts\": N, "
     "\"log_balancedness\": false, \"log_balancedness_interval\": N}.",
     set_config},
    {"num-redundant-experts", "", FlagKind::kValue, kLoads, "N", "0",
     "Copies of a layer's experts beside one of each, over all ranks. The ranks must share all copies evenly.",
     set_redundant},
    {"eplb-window-size", "", FlagKind::kValue, kLoads, "STEPS", "1000", "Latest steps whose loads decide.", set_window},
    {"eplb-step-interval", "", FlagKind::kValue, kLoads, "STEPS", "3000", "Steps between two decisions.", set_interval},
    {"eplb-log-balancedness", "", kSwitch, kLoads, "", "off",
     "The ranks' loads go to the log, a line a layer, every log_balancedness_interval steps.", set_logs},
    {"eplb-config.num-redundant-experts", "", FlagKind::kValue, kLoads, "N", "0",
     "The same as --num-redundant-experts.", set_redundant},
    {"eplb-config.window-size", "", FlagKind::kValue, kLoads, "STEPS", "1000", "The same as --eplb-window-size.",
     set_window},
    {"eplb-config.step-interval", "", FlagKind::kValue, kLoads, "STEPS", "3000", "The same as --eplb-step-interval.",
     set_interval},
    {"eplb-config.log-balancedness", "", kSwitch, kLoads, "", "off", "The same as --eplb-log-balancedness.", set_logs},
    {"eplb-config.log-balancedness-interval", "", FlagKind::kValue, kLoads, "STEPS", "1",
     "Steps between two such lines of a layer.", set_log_steps},
};

}  // namespace

std::span<const Flag> parallel_flags() { return kFlags; }

}  // namespace polymath::commands
