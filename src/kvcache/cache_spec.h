#pragma once

// What one layer remembers of a sequence.
//
//   kPaged   keys and values of every token, in blocks (attention)
//   kState   one state of fixed size, overwritten by each token (recurrent layers: gated delta net, Mamba)
//
// A block is shared as soon as it is full. A state is shared through snapshots, see state_pool.h.

#include <cstddef>

#include "backend/backend.h"

namespace polymath::kvcache {

enum class CacheKind { kPaged, kState, kCount };

struct CacheSpec {
  CacheKind kind = CacheKind::kPaged;
  backend::KvShape paged;  // kPaged; n_blocks is not read
  size_t state_bytes = 0;  // kState: of one sequence
};

}  // namespace polymath::kvcache
