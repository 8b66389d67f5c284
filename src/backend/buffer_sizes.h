#pragma once

// A table of an owner's buffers and their sizes. A memory plan sums it; the owner's create() allocates it.
//
//   std::vector<BufferSize<Scratch>> sizes(...) { return {{&Scratch::x, 4 * n}, {&Scratch::y, 8 * n}}; }

#include <vector>

#include "backend/backend.h"

namespace polymath::backend {

template <class Owner>
struct BufferSize {
  Buffer Owner::*buffer;
  size_t bytes;  // 0: not allocated
};

template <class Owner>
size_t bytes_of(const std::vector<BufferSize<Owner>>& table) {
  size_t bytes = 0;
  for (const auto& row : table) bytes += row.bytes;
  return bytes;
}

// kResourceExhausted: no memory.
template <class Owner>
absl::Status allocate_all(Backend& backend, const std::vector<BufferSize<Owner>>& table, Owner& owner) {
  for (const auto& row : table) {
    if (row.bytes == 0) continue;
    ASSIGN_OR_RETURN(owner.*row.buffer, backend.allocate(row.bytes));
  }
  return absl::OkStatus();
}

}  // namespace polymath::backend
