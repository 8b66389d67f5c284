#include "layers/gated_delta_net.h"

#include "absl/strings/str_cat.h"
#include "layers/config_check.h"

namespace polymath::layers {
namespace {

using backend::DType;
using backend::Tensor;

enum ScratchPart { kProjected, kOutput, kRates };

class GatedDeltaNetLayer : public AttentionLayer {
 public:
  GatedDeltaNetLayer(const GatedDeltaNet& config, const LayerBuilder& b)
      : shape_(config.shape),
        residual_scale_(b.residual_scale),
        in_qkvz_(b.linear("in_qkvz")),
        in_ba_(b.linear("in_ba")),
        out_(b.linear("delta_out")),
        params_{.shape = config.shape,
                .eps = b.norm_eps,
                .conv = b.vector("conv"),
                .a_log = b.vector("a_log"),
                .dt_bias = b.vector("dt_bias"),
                .norm = b.vector("delta_norm")} {}

  void run(const StepContext& ctx, const Tensor& x, const Tensor& h) const override {
    const Tensor qkvz = ctx.scratch.matrix(kProjected, DType::kF32, x.rows(), in_qkvz_.rows());
    const Tensor ba = ctx.scratch.matrix(kRates, DType::kF32, x.rows(), in_ba_.rows());
    const Tensor out = ctx.scratch.matrix(kOutput, ctx.act, x.rows(), shape_.value_width());
    in_qkvz_.run(ctx, x, {}, qkvz);
    in_ba_.run(ctx, x, {}, ba);
    ctx.backend.gated_delta_net(params_, {qkvz, ba, out}, {ctx.states, ctx.state_slots}, ctx.layout);
    out_.add_to(ctx, out, residual_scale_, h);
  }

  // A token decays, reads, corrects and reads again its state.
  void add_cost(const StepExtent& extent, StepCost& cost) const override {
    for (const Linear* linear : {&in_qkvz_, &in_ba_, &out_}) linear->add_cost(extent.tokens, cost);
    cost.flops += 7.0 * shape_.value_heads * shape_.key_dim * shape_.value_dim * extent.tokens;
  }

 private:
  const backend::DeltaNetShape shape_;
  const float residual_scale_;
  Linear in_qkvz_, in_ba_, out_;
  const backend::DeltaNetParams params_;
};

}  // namespace

absl::Status GatedDeltaNet::check() const {
  const backend::DeltaNetShape& s = shape;
  RETURN_IF_ERROR(check_range("linear_num_key_heads", s.key_heads, 1, 4096));
  RETURN_IF_ERROR(check_range("linear_num_value_heads", s.value_heads, s.key_heads, 4096));
  RETURN_IF_ERROR(check_range("linear_key_head_dim", s.key_dim, 1, 4096));
  RETURN_IF_ERROR(check_range("linear_value_head_dim", s.value_dim, 1, 4096));
  RETURN_IF_ERROR(check_range("linear_conv_kernel_dim", s.conv_kernel, 1, 64));
  if (s.value_heads % s.key_heads == 0) return absl::OkStatus();
  return absl::InvalidArgumentError("config.json: linear_num_value_heads does not divide by linear_num_key_heads");
}

void GatedDeltaNet::add_slots(SlotList& s, int64_t hidden) const {
  s.matrix({.name = "in_qkvz", .pieces = {{shape.conv_width() + shape.value_width()}}, .cols = hidden});
  s.matrix({.name = "in_ba", .pieces = {{2 * shape.value_heads}}, .cols = hidden});
  s.vector("conv", {{shape.conv_width() * shape.conv_kernel}}, /*groups=*/1, {.taps = shape.conv_kernel});
  s.vector("a_log", {{shape.value_heads}});
  s.vector("dt_bias", {{shape.value_heads}});
  s.vector("delta_norm", {{shape.value_dim}});
  s.matrix({.name = "delta_out", .pieces = {{hidden}}, .cols = shape.value_width()});
}

kvcache::CacheSpec GatedDeltaNet::cache() const {
  return {.kind = kvcache::CacheKind::kState,
          .state_bytes = static_cast<size_t>(shape.state_elements()) * sizeof(float)};
}

void GatedDeltaNet::reserve(StepNeeds& needs) const {
  needs.at_least(kProjected, shape.conv_width() + shape.value_width());
  needs.at_least(kOutput, shape.value_width());
  needs.at_least(kRates, 2 * shape.value_heads);
}

absl::Status GatedDeltaNet::split(parallel::Rank rank) {
  if (rank.size == 1) return absl::OkStatus();
  return absl::UnimplementedError("--tensor-parallel-size: gated delta nets are not split over ranks yet");
}

absl::StatusOr<std::unique_ptr<AttentionLayer>> GatedDeltaNet::make(const LayerBuilder& builder) const {
  if (!builder.backend.has_gated_delta_net()) {
    return absl::UnimplementedError(absl::StrCat("gated delta nets are not built for --device ",
                                                 std::string(builder.backend.name()), " yet; --device cpu runs them"));
  }
  return std::make_unique<GatedDeltaNetLayer>(*this, builder);
}

std::string GatedDeltaNet::text() const {
  return absl::StrCat("gated delta net, ", shape.value_heads, " heads of ", shape.value_dim, " over ", shape.key_heads,
                      " of ", shape.key_dim);
}

}  // namespace polymath::layers
