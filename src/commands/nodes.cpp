#include "commands/nodes.h"

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/read_file.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

constexpr double kEndSeconds = 15;                    // beyond node 0's own limits
constexpr size_t kSecretMin = 16, kSecretMax = 4096;  // bytes

absl::StatusOr<std::string> secret_of(const NodeSettings& nodes) {
  std::string secret = nodes.secret;
  if (!nodes.secret_file.empty()) {
    ASSIGN_OR_RETURN(secret, base::read_file(nodes.secret_file, kSecretMax));
    secret = std::string(absl::StripAsciiWhitespace(secret));
  }
  if (secret.empty()) {
    return absl::InvalidArgumentError(
        "--nnodes: the nodes need a secret that all know: --node-secret-file, or POLYMATH_NODE_SECRET");
  }
  if (secret.size() >= kSecretMin && secret.size() <= kSecretMax) return secret;
  return absl::InvalidArgumentError(absl::StrCat("the nodes' secret has ", secret.size(), " bytes; ", kSecretMin,
                                                 " to ", kSecretMax, " are allowed"));
}

}  // namespace

absl::Status check_nodes(const Options& options) {
  const RuntimeOptions& o = options.runtime;
  const NodeSettings& nodes = o.nodes;
  if (nodes.size == 1) {
    return nodes.at == 0 ? absl::OkStatus() : absl::InvalidArgumentError("--node-rank needs --nnodes");
  }
  if (nodes.at >= nodes.size) return absl::InvalidArgumentError("--node-rank must be less than --nnodes");
  if (nodes.headless && nodes.at == 0) {
    return absl::InvalidArgumentError("--headless: node 0 has the door; only the others have none");
  }
  if (o.tensor_parallel * o.pipeline_parallel != nodes.size) {
    return absl::UnimplementedError(
        absl::StrCat("--nnodes ", nodes.size, " with ", o.tensor_parallel * o.pipeline_parallel,
                     " ranks (--tensor-parallel-size times --pipeline-parallel-size): only one rank a node is built"));
  }
  if (o.replicas > 1) return absl::UnimplementedError("--nnodes with --data-parallel-size is not built yet");
  if (o.moves_experts) return absl::UnimplementedError("--nnodes with --enable-eplb is not built yet");
  if (o.rank_timeout_s <= 0) return absl::InvalidArgumentError("--nnodes needs a --rank-timeout");
  return secret_of(nodes).status();
}

absl::StatusOr<parallel::NodeOptions> node_options(const NodeSettings& nodes, const std::string& settings) {
  parallel::NodeOptions options;
  options.self.at = nodes.at;
  options.self.size = nodes.size;
  options.self.version = kVersion;
  ASSIGN_OR_RETURN(options.self.secret, secret_of(nodes));
  base::Sha256 digest;
  digest.update(settings.data(), settings.size());
  options.self.settings = digest.finish();
  options.host = nodes.host;
  options.port = nodes.port;
  options.join_seconds = nodes.join_seconds;
  return options;
}

absl::StatusOr<int> serve_node(const Options& options, Supervisor& supervisor) {
  ASSIGN_OR_RETURN(const auto runtime, Runtime::open(options.model, options.runtime, {}));
  const ServerOptions& server = options.server;
  // A signal reaches node 0 as well, which drains and then ends this node. Until then it computes.
  const ServeLimits limits{.drain_seconds = server.drain_delay_s + server.shutdown_timeout_s + kEndSeconds};
  std::unique_ptr<Supervisor::Watch> watch;
  RETURN_IF_ERROR(runtime->follow([&] { watch.reset(new Supervisor::Watch(supervisor.serve({}, limits))); }));
  base::log_info("nodes", "node 0 ended the group; ending");
  return 0;
}

}  // namespace polymath::commands
