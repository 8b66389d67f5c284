#include "model/nodes/follower.h"

#include <string>

#include "base/log.h"
#include "model/nodes/node_links.h"
#include "model/nodes/step_message.h"
#include "parallel/nodes/control_link.h"

namespace polymath::model {
namespace {

using parallel::Activity;
using parallel::ControlMessage;
using parallel::MessageKind;

constexpr size_t kReasonMax = 1024;  // bytes of a failure that node 0 is sent

class Follower {
 public:
  Follower(Transformer& rank, parallel::ControlLink& link, RankLinks& links, const backend::KvType& kv_type)
      : rank_(rank), link_(link), links_(links), kv_type_(kv_type) {}

  absl::Status run() {
    RETURN_IF_ERROR(send_facts());
    while (true) {
      ASSIGN_OR_RETURN(const ControlMessage message, link_.receive());
      if (message.kind == MessageKind::kEnd) {
        return message.bytes.empty() ? absl::OkStatus() : absl::UnavailableError("node 0 ends: the group failed");
      }
      RETURN_IF_ERROR(handle(message));
    }
  }

 private:
  absl::Status handle(const ControlMessage& message) {
    switch (message.kind) {
      case MessageKind::kReserve:
        return reserve(message);
      case MessageKind::kMakeCache:
        return make_cache(message);
      case MessageKind::kStep:
        return step(message);
      case MessageKind::kLoad:
        return link_.send(MessageKind::kLoad, write_loads(rank_.expert_load()));
      default:
        return absl::InvalidArgumentError("node 0 sent a message that only it receives");
    }
  }

  absl::Status reserve(const ControlMessage& message) {
    if (bounds_.step.tokens_max > 0) return absl::InvalidArgumentError("node 0 reserves twice");
    ASSIGN_OR_RETURN(bounds_.step, read_limits(message.bytes));
    RETURN_IF_ERROR(rank_.reserve(bounds_.step));
    return send_facts();
  }

  absl::Status make_cache(const ControlMessage& message) {
    if (bounds_.n_blocks > 0) return absl::InvalidArgumentError("node 0 makes the cache twice");
    ASSIGN_OR_RETURN(const CacheOptions options, read_cache(message.bytes, kv_type_));
    RETURN_IF_ERROR(rank_.make_cache(options));
    bounds_.vocab = rank_.vocab();
    bounds_.positions = rank_.config().positions_max;
    bounds_.n_blocks = options.n_blocks;
    bounds_.block_size = options.block_size;
    bounds_.n_state_slots = rank_.has_state() ? options.n_state_slots : 0;
    bounds_.n_adapters = rank_.n_adapters();
    return send_facts();
  }

  absl::Status step(const ControlMessage& message) {
    if (bounds_.n_blocks == 0) return absl::InvalidArgumentError("node 0 sent a step before there is a KV cache");
    RETURN_IF_ERROR(read_step(message.bytes, bounds_, step_));
    RETURN_IF_ERROR(rank_.start(step_.batch()));
    RETURN_IF_ERROR(rank_.finish().status());
    RETURN_IF_ERROR(links_.health());
    links_.trace.enter(Activity::kIdle);
    return link_.send(MessageKind::kDone, {});
  }

  absl::Status send_facts() {
    const CacheOptions cache{.block_size = bounds_.block_size, .type = kv_type_};
    return link_.send(MessageKind::kLoaded, write_facts({.weights = rank_.weight_bytes(),
                                                         .scratch = rank_.scratch_bytes(),
                                                         .kv_cache = rank_.kv_bytes(),
                                                         .graphs = rank_.graph_bytes(),
                                                         .kv_block = rank_.kv_block_bytes(cache),
                                                         .state = rank_.state_bytes(),
                                                         .has_state = rank_.has_state()}));
  }

  Transformer& rank_;
  parallel::ControlLink& link_;
  RankLinks& links_;
  const backend::KvType kv_type_;
  StepBounds bounds_;
  BatchCopy step_;
};

}  // namespace

absl::Status follow_node(const FollowerModel& model, const backend::KvType& kv_type,
                         const std::function<void()>& ready) {
  const auto mesh = model.options.nodes;
  RankLinks links;
  LoadOptions options = model.options;
  options.stage = join_nodes(*mesh, options.stages, links);
  links.give_to(options);
  parallel::ControlLink link(mesh->take_control(0), {.peer = 0, .silence_s = options.rank_timeout_s}, links.trace,
                             nullptr, [mesh](const absl::Status& reason) { mesh->abort(reason); });
  const auto rank = load_model(model.config, model.checkpoint, model.backend, options);
  if (rank.ok()) ready();
  const absl::Status status = rank.ok() ? Follower(**rank, link, links, kv_type).run() : rank.status();
  if (!status.ok()) {
    const std::string reason(status.message().substr(0, kReasonMax));
    const absl::Status sent = link.send(MessageKind::kFailed, std::as_bytes(std::span(reason)));
    if (!sent.ok()) base::log_warning("nodes", "the reason did not reach node 0: ", std::string(sent.message()));
  }
  return status;
}

}  // namespace polymath::model
