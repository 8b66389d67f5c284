#include "layers/linear.h"

namespace polymath::layers {

int64_t Linear::rows() const {
  int64_t n = weight.shape.rows;
  for (const quant::Weight& w : more) n += w.shape.rows;
  return n;
}

void Linear::add_cost(double rows, StepCost& cost) const {
  cost.add_weight(weight, rows);
  for (const quant::Weight& w : more) cost.add_weight(w, rows);
}

void Linear::multiply(const StepContext& ctx, const backend::Tensor& x, backend::LinearEpilogue epilogue,
                      const backend::Tensor& y) const {
  if (more.empty()) return ctx.backend.linear(x, weight, epilogue, y);
  int64_t col = 0;
  const auto part = [&](const quant::Weight& w) {
    ctx.backend.linear(x, w, epilogue, y.slice_cols(col, w.shape.rows));
    col += w.shape.rows;
    if (epilogue.bias != nullptr) epilogue.bias += w.shape.rows;
  };
  part(weight);
  for (const quant::Weight& w : more) part(w);
}

void Linear::run(const StepContext& ctx, const backend::Tensor& x, backend::LinearEpilogue epilogue,
                 const backend::Tensor& y) const {
  epilogue.bias = bias;
  multiply(ctx, x, epilogue, y);
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
  multiply(ctx, x, epilogue, h);
  add_adapters(ctx, x, scale, h);
  if (reduces) ctx.group.all_reduce_sum(h);
}

}  // namespace polymath::layers
