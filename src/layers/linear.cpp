#include "layers/linear.h"

namespace polymath::layers {

void Linear::run(const StepContext& ctx, const backend::Tensor& x, backend::LinearEpilogue epilogue,
                 const backend::Tensor& y) const {
  epilogue.bias = bias;
  ctx.backend.linear(x, weight, epilogue, y);
  add_adapters(ctx, x, epilogue.scale, y);
}

void Linear::add_adapters(const StepContext& ctx, const backend::Tensor& x, float scale,
                          const backend::Tensor& y) const {
  if (ctx.adapters != nullptr && !adapters.empty()) ctx.adapters->add(ctx.backend, adapters, x, scale, y);
}

// The first rank adds its part and the bias to the residual. The others give only their parts. So the group's sum is
// the new residual, in the same buffer.
void Linear::add_to(const StepContext& ctx, const backend::Tensor& x, float scale, const backend::Tensor& h) const {
  const bool owns_residual = !reduces || ctx.group.rank().first();
  const backend::LinearEpilogue epilogue{
      .bias = owns_residual ? bias : nullptr, .accumulate = owns_residual, .scale = scale};
  ctx.backend.linear(x, weight, epilogue, h);
  add_adapters(ctx, x, scale, h);
  if (reduces) ctx.group.all_reduce_sum(h);
}

}  // namespace polymath::layers
