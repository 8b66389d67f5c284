#include "model/nodes/remote_rank.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace polymath::model {

using parallel::MessageKind;

absl::StatusOr<std::unique_ptr<RemoteRank>> RemoteRank::attach(std::unique_ptr<parallel::ControlLink> link,
                                                               std::shared_ptr<const parallel::NodeMesh> mesh,
                                                               const ModelConfig& config) {
  std::unique_ptr<RemoteRank> rank(new RemoteRank(std::move(link), std::move(mesh), config));
  ASSIGN_OR_RETURN(const MessageBytes facts, rank->answer(MessageKind::kLoaded));
  ASSIGN_OR_RETURN(rank->facts_, read_facts(facts));
  return rank;
}

RemoteRank::~RemoteRank() {
  const absl::Status group = mesh_->health();  // cancelled: it just ends
  const MessageBytes failed(group.ok() || absl::IsCancelled(group) ? 0 : 1);
  // A node that is gone needs no word.
  static_cast<void>(link_->send(MessageKind::kEnd, failed).ok());
}

absl::StatusOr<MessageBytes> RemoteRank::answer(MessageKind kind) const {
  ASSIGN_OR_RETURN(parallel::ControlMessage message, link_->receive());
  if (message.kind == kind) return std::move(message.bytes);
  if (message.kind == MessageKind::kFailed) {
    return absl::InternalError(std::string(reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size()));
  }
  const absl::Status status =
      absl::InternalError(absl::StrCat("it answers with a message of kind ", static_cast<uint32_t>(message.kind),
                                       "; due is one of kind ", static_cast<uint32_t>(kind)));
  link_->fail(status);
  return status;
}

absl::Status RemoteRank::start(const Batch& batch) {
  step_.assign(batch);
  write_step(step_, bytes_);
  return link_->send(MessageKind::kStep, bytes_);
}

absl::StatusOr<StepResult> RemoteRank::finish() {
  RETURN_IF_ERROR(answer(MessageKind::kDone).status());
  return StepResult{};
}

std::vector<Model::ExpertLoad> RemoteRank::expert_load() const {
  if (!link_->send(MessageKind::kLoad, {}).ok()) return {};
  const auto bytes = answer(MessageKind::kLoad);
  if (!bytes.ok() || !read_loads(*bytes, loads_).ok()) return {};
  return loads_.loads;
}

absl::Status RemoteRank::change(MessageKind kind, const MessageBytes& bytes) {
  RETURN_IF_ERROR(link_->send(kind, bytes));
  ASSIGN_OR_RETURN(const MessageBytes facts, answer(MessageKind::kLoaded));
  ASSIGN_OR_RETURN(facts_, read_facts(facts));
  return absl::OkStatus();
}

absl::Status RemoteRank::reserve(const backend::StepLimits& limits) {
  return change(MessageKind::kReserve, write_limits(limits));
}

absl::Status RemoteRank::make_cache(const CacheOptions& options) {
  return change(MessageKind::kMakeCache, write_cache(options));
}

}  // namespace polymath::model
