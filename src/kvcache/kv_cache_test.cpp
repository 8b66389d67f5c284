#include "kvcache/kv_cache.h"

#include <gtest/gtest.h>

#include "backend/backend.h"

namespace polymath::kvcache {
namespace {

TEST(KvCache, GivesEachLayerBlocksOrStates) {
  auto backend = backend::make_backend("reference", {});
  ASSERT_TRUE(backend.ok());
  const backend::KvShape shape{.n_kv_heads = 2, .key_dim = 8, .value_dim = 8, .block_size = 4};
  const std::vector<CacheSpec> layers = {{.kind = CacheKind::kState, .state_bytes = 96},
                                         {.kind = CacheKind::kPaged, .paged = shape},
                                         {.kind = CacheKind::kState, .state_bytes = 32}};
  const size_t block = (*backend)->kv_block_bytes(shape);
  EXPECT_EQ(KvCache::block_bytes(**backend, layers), block);
  EXPECT_EQ(KvCache::state_bytes(layers), 128u);
  const auto cache = KvCache::create(**backend, layers, {.n_blocks = 3, .n_state_slots = 5});
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ((*cache)->bytes(), 3 * block + 5 * 128);
  EXPECT_EQ((*cache)->layer(1).shape.n_blocks, 3);
  for (const int i : {0, 1, 2}) {
    EXPECT_EQ((*cache)->state(i) == nullptr, i == 1);
    EXPECT_EQ((*cache)->layer(i).data == nullptr, i != 1);
  }
}

TEST(KvCache, RefusesALayoutThatTheBackendLacks) {
  auto backend = backend::make_backend("reference", {});
  ASSERT_TRUE(backend.ok());
  const backend::KvShape shape{.n_kv_heads = 2, .key_dim = 8, .value_dim = 8, .dtype = tensor::DType::kI32};
  const auto cache = KvCache::create(**backend, {{.kind = CacheKind::kPaged, .paged = shape}}, {.n_blocks = 3});
  EXPECT_EQ(cache.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace polymath::kvcache
