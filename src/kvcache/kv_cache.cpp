#include "kvcache/kv_cache.h"

#include "absl/strings/str_cat.h"

namespace polymath::kvcache {

size_t KvCache::block_bytes(const backend::Backend& backend, const std::vector<backend::KvShape>& layers) {
  size_t bytes = 0;
  for (const auto& shape : layers) bytes += backend.kv_block_bytes(shape);
  return bytes;
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::create(backend::Backend& backend, std::vector<backend::KvShape> layers,
                                                         int64_t n_blocks) {
  std::unique_ptr<KvCache> cache(new KvCache);
  cache->n_blocks_ = n_blocks;
  for (auto& shape : layers) {
    shape.n_blocks = n_blocks;
    RETURN_IF_ERROR(backend.check_kv(shape));
    const size_t bytes = backend.kv_block_bytes(shape) * static_cast<size_t>(n_blocks);
    auto buffer = backend.allocate(bytes);
    if (!buffer.ok()) {
      return absl::ResourceExhaustedError(absl::StrCat("KV cache: ", n_blocks, " blocks of ", block_bytes(backend, layers),
                                                       " bytes do not fit; lower --kv-cache-memory-bytes or --max-model-len"));
    }
    cache->buffers_.push_back(*std::move(buffer));
    cache->layers_.push_back({shape, cache->buffers_.back().data()});
    cache->bytes_ += bytes;
  }
  return cache;
}

}  // namespace polymath::kvcache
