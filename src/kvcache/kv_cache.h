#pragma once

// Device memory of all that layers remember: KV blocks, and slots of recurrent state. BlockPool and StatePool know
// which block or slot holds what.

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "kvcache/cache_spec.h"

namespace polymath::kvcache {

struct CacheSize {
  int64_t n_blocks = 0;   // of every paged layer
  int n_state_slots = 0;  // of every recurrent layer: StatePool::n_slots()
};

class KvCache {
 public:
  // kResourceExhausted: out of device memory; the message has the sum. kInvalidArgument: the backend has no such
  // layout.
  static absl::StatusOr<std::unique_ptr<KvCache>> create(backend::Backend& backend,
                                                         const std::vector<CacheSpec>& layers, const CacheSize& size);
  // Bytes of one block over all paged layers.
  static size_t block_bytes(const backend::Backend& backend, const std::vector<CacheSpec>& layers);
  // Bytes of one state slot over all recurrent layers.
  static size_t state_bytes(const std::vector<CacheSpec>& layers);

  const backend::KvLayer& layer(int i) const { return layers_[i]; }  // a recurrent layer: data is null
  void* state(int i) const { return states_[i]; }  // [n_state_slots][state_bytes], on the device; paged: null
  int64_t n_blocks() const { return size_.n_blocks; }
  int n_state_slots() const { return size_.n_state_slots; }
  size_t bytes() const { return bytes_; }

 private:
  KvCache() = default;
  std::vector<backend::KvLayer> layers_;
  std::vector<void*> states_;
  std::vector<tensor::Buffer> buffers_;
  CacheSize size_;
  size_t bytes_ = 0;
};

}  // namespace polymath::kvcache
