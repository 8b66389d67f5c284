#include "model/batch_copy.h"

namespace polymath::model {

void BatchCopy::assign(const Batch& batch) {
  batch_.block_table_width = batch.block_table_width;
  each([&](auto Batch::*span, auto& values) {
    values.assign((batch.*span).begin(), (batch.*span).end());
    batch_.*span = values;
  });
}

}  // namespace polymath::model
