#include "model/balance/movable_experts.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace polymath::model {
namespace {

using layers::MoeLayer;

SpareKind kind_of(SpareKind::Part part, const quant::Weight& weight) {
  return {part, weight.shape.groups, weight.shape.rows, weight.shape.cols, weight.format};
}

// A bias has a value for each row of its matrix.
SpareKind kind_of_bias(SpareKind::Part part, const quant::Weight& weight) {
  return {part, weight.shape.groups, weight.shape.rows, 1, nullptr};
}

size_t row_bytes(const quant::Weight& weight) { return static_cast<size_t>(weight.shape.rows) * sizeof(float); }

// The spare is this class's own memory, though the layers read it as const.
void copy_bias(const quant::Weight& weight, const float* from, int from_slot, const float* to, int to_slot) {
  if (from == nullptr) return;
  const int64_t rows = weight.shape.rows;
  std::memcpy(const_cast<float*>(to) + to_slot * rows, from + from_slot * rows, row_bytes(weight));
}

}  // namespace

absl::Status MovableExperts::attach(backend::Backend& backend, const std::vector<layers::FeedForward*>& layers) {
  backend_ = &backend;
  for (size_t l = 0; l < layers.size(); ++l) {
    for (const auto& block : layers[l]->blocks()) {
      if (block->placement.empty()) continue;
      blocks_.push_back({static_cast<int>(l), block.get()});
      RETURN_IF_ERROR(add_spares(*block));
    }
  }
  return absl::OkStatus();
}

absl::Status MovableExperts::add_spares(const MoeLayer& moe) {
  const auto matrix = [&](SpareKind::Part part, const quant::Weight& weight) -> absl::Status {
    const SpareKind kind = kind_of(part, weight);
    if (matrices_.contains(kind)) return absl::OkStatus();
    ASSIGN_OR_RETURN(matrices_[kind], backend_->make_weight(weight.shape, *weight.format));
    return absl::OkStatus();
  };
  const auto vector = [&](SpareKind::Part part, const quant::Weight& weight, const float* bias) -> absl::Status {
    const SpareKind kind = kind_of_bias(part, weight);
    if (bias == nullptr || vectors_.contains(kind)) return absl::OkStatus();
    ASSIGN_OR_RETURN(auto buffer, backend_->allocate(static_cast<size_t>(weight.shape.groups) * row_bytes(weight)));
    vectors_[kind] = static_cast<const float*>(buffer.data());
    owned_.push_back(std::move(buffer));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(matrix(SpareKind::Part::kGateUp, moe.gate_up));
  RETURN_IF_ERROR(matrix(SpareKind::Part::kDown, moe.down));
  RETURN_IF_ERROR(vector(SpareKind::Part::kGateUpBias, moe.gate_up, moe.mlp.gate_up_bias));
  return vector(SpareKind::Part::kDownBias, moe.down, moe.mlp.down_bias);
}

MovableExperts::Spares MovableExperts::spares_of(const MoeLayer& moe) {
  const auto vector = [&](SpareKind::Part part, const quant::Weight& weight) -> const float** {
    const auto at = vectors_.find(kind_of_bias(part, weight));
    return at == vectors_.end() ? nullptr : &at->second;
  };
  return {&matrices_.at(kind_of(SpareKind::Part::kGateUp, moe.gate_up)),
          &matrices_.at(kind_of(SpareKind::Part::kDown, moe.down)),
          moe.mlp.gate_up_bias == nullptr ? nullptr : vector(SpareKind::Part::kGateUpBias, moe.gate_up),
          moe.mlp.down_bias == nullptr ? nullptr : vector(SpareKind::Part::kDownBias, moe.down)};
}

size_t MovableExperts::expert_bytes(size_t block) const {
  const MoeLayer& moe = *blocks_[block].moe;
  size_t bytes = 0;
  for (const quant::Weight* weight : {&moe.gate_up, &moe.down}) {
    quant::WeightShape one = weight->shape;
    one.groups = 1;
    bytes += backend_->weight_bytes(one, *weight->format);
  }
  if (moe.mlp.gate_up_bias != nullptr) bytes += row_bytes(moe.gate_up);
  if (moe.mlp.down_bias != nullptr) bytes += row_bytes(moe.down);
  return bytes;
}

void MovableExperts::copy(Slot to, const MovableExperts& from, int from_slot) {
  const MoeLayer& source = *from.blocks_[to.block].moe;
  const Spares spares = spares_of(*blocks_[to.block].moe);
  backend_->copy_group(source.gate_up, from_slot, *spares.gate_up, to.slot);
  backend_->copy_group(source.down, from_slot, *spares.down, to.slot);
  if (spares.gate_up_bias != nullptr) {
    copy_bias(source.gate_up, source.mlp.gate_up_bias, from_slot, *spares.gate_up_bias, to.slot);
  }
  if (spares.down_bias != nullptr) {
    copy_bias(source.down, source.mlp.down_bias, from_slot, *spares.down_bias, to.slot);
  }
}

void MovableExperts::switch_to(size_t block, const parallel::Placement& placement, parallel::Rank rank) {
  MoeLayer& moe = *blocks_[block].moe;
  const Spares spares = spares_of(moe);
  std::swap(moe.gate_up, *spares.gate_up);
  std::swap(moe.down, *spares.down);
  if (spares.gate_up_bias != nullptr) std::swap(moe.mlp.gate_up_bias, *spares.gate_up_bias);
  if (spares.down_bias != nullptr) std::swap(moe.mlp.down_bias, *spares.down_bias);
  moe.place(*backend_, placement, rank);
}

}  // namespace polymath::model
