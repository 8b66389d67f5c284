#pragma once

// A rank on another node, as node 0 sees it. Steps and questions go over its control link; follower.h answers.
//
// Thread safety: as Transformer. The link's thread writes the trace.

#include <memory>
#include <vector>

#include "model/nodes/step_message.h"
#include "parallel/nodes/control_link.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::model {

class RemoteRank : public Transformer {
 public:
  // `link` is connected. `config`: of the whole model. Waits until the other node has loaded its rank.
  static absl::StatusOr<std::unique_ptr<RemoteRank>> attach(std::unique_ptr<parallel::ControlLink> link,
                                                            std::shared_ptr<const parallel::NodeMesh> mesh,
                                                            const ModelConfig& config);
  ~RemoteRank() override;  // the other node ends, too

  absl::Status health() const override { return link_->health(); }
  absl::Status start(const Batch& batch) override;
  // No results: the rank whose results count is on node 0.
  absl::StatusOr<StepResult> finish() override;
  int vocab() const override { return config_.vocab; }
  std::vector<ExpertLoad> expert_load() const override;
  size_t kv_block_bytes(const CacheOptions&) const override { return facts_.kv_block; }
  size_t state_bytes() const override { return facts_.state; }
  bool has_state() const override { return facts_.has_state; }
  absl::Status reserve(const backend::StepLimits& limits) override;
  absl::Status make_cache(const CacheOptions& options) override;
  const ModelConfig& config() const override { return config_; }
  size_t weight_bytes() const override { return facts_.weights; }
  size_t scratch_bytes() const override { return facts_.scratch; }
  size_t kv_bytes() const override { return facts_.kv_cache; }
  size_t graph_bytes() const override { return facts_.graphs; }
  layers::StepCost last_step_cost() override { return {}; }  // not asked for

 private:
  RemoteRank(std::unique_ptr<parallel::ControlLink> link, std::shared_ptr<const parallel::NodeMesh> mesh,
             const ModelConfig& config)
      : link_(std::move(link)), mesh_(std::move(mesh)), config_(config) {}
  absl::StatusOr<MessageBytes> answer(parallel::MessageKind kind) const;
  absl::Status change(parallel::MessageKind kind, const MessageBytes& bytes);

  const std::unique_ptr<parallel::ControlLink> link_;
  const std::shared_ptr<const parallel::NodeMesh> mesh_;
  const ModelConfig config_;
  RankFacts facts_;
  BatchCopy step_;
  MessageBytes bytes_;
  mutable LoadsKept loads_;
};

}  // namespace polymath::model
