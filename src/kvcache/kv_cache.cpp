#include "kvcache/kv_cache.h"

#include "absl/strings/str_cat.h"

namespace polymath::kvcache {

size_t KvCache::block_bytes(const backend::Backend& backend, const std::vector<CacheSpec>& layers) {
  size_t bytes = 0;
  for (const auto& spec : layers) bytes += spec.kind == CacheKind::kPaged ? backend.kv_block_bytes(spec.paged) : 0;
  return bytes;
}

size_t KvCache::state_bytes(const std::vector<CacheSpec>& layers) {
  size_t bytes = 0;
  for (const auto& spec : layers) bytes += spec.kind == CacheKind::kState ? spec.state_bytes : 0;
  return bytes;
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::create(backend::Backend& backend,
                                                         const std::vector<CacheSpec>& layers, const CacheSize& size) {
  std::unique_ptr<KvCache> cache(new KvCache);
  cache->size_ = size;
  for (const CacheSpec& spec : layers) {
    const bool is_paged = spec.kind == CacheKind::kPaged;
    backend::KvShape shape = spec.paged;
    shape.n_blocks = is_paged ? size.n_blocks : 0;
    if (is_paged) RETURN_IF_ERROR(backend.check_kv(shape));
    const size_t bytes = is_paged ? backend.kv_block_bytes(shape) * static_cast<size_t>(size.n_blocks)
                                  : spec.state_bytes * static_cast<size_t>(size.n_state_slots);
    auto buffer = backend.allocate(bytes);
    if (!buffer.ok()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "KV cache: ", size.n_blocks, " blocks of ", block_bytes(backend, layers), " bytes and ", size.n_state_slots,
          " states of ", state_bytes(layers), " bytes do not fit; lower --kv-cache-memory-bytes or --max-model-len"));
    }
    cache->buffers_.push_back(*std::move(buffer));
    void* const data = cache->buffers_.back().data();
    cache->layers_.push_back({shape, is_paged ? data : nullptr});
    cache->states_.push_back(is_paged ? nullptr : data);
    cache->bytes_ += bytes;
  }
  return cache;
}

}  // namespace polymath::kvcache
