#pragma once

// The KV blocks' memory on the device, layer by layer. Which block holds what is BlockPool's knowledge.

#include <memory>
#include <vector>

#include "backend/backend.h"

namespace polymath::kvcache {

class KvCache {
 public:
  // `layers`: shapes with n_blocks unset. kResourceExhausted with the sum; kInvalidArgument: no such layout.
  static absl::StatusOr<std::unique_ptr<KvCache>> create(backend::Backend& backend, std::vector<backend::KvShape> layers,
                                                         int64_t n_blocks);
  // Bytes of one block over all layers: KV memory = n_blocks * this.
  static size_t block_bytes(const backend::Backend& backend, const std::vector<backend::KvShape>& layers);

  const backend::KvLayer& layer(int i) const { return layers_[i]; }
  int64_t n_blocks() const { return n_blocks_; }
  size_t bytes() const { return bytes_; }

 private:
  KvCache() = default;
  std::vector<backend::KvLayer> layers_;
  std::vector<tensor::Buffer> buffers_;
  int64_t n_blocks_ = 0;
  size_t bytes_ = 0;
};

}  // namespace polymath::kvcache
