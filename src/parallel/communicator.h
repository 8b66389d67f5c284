#pragma once

// What the ranks of a group do together: sums and exchanges of tensors in the memory of their devices.
//
//   communicator.all_reduce_sum(h);      // every rank: h = sum of the ranks' h, in order of the ranks
//
// Every rank calls the same operations in the same order with the same shapes. Results are the same bits on every rank.
//
// Thread safety: each rank calls its own communicator from its own thread.

#include <memory>
#include <vector>

#include "parallel/rank.h"
#include "tensor/tensor.h"

namespace polymath::parallel {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual Rank rank() const = 0;
  // x f32, without gaps; in place.
  virtual void all_reduce_sum(const tensor::Tensor& x) = 0;
  // part [n, cols] f32 -> all [n, size * cols]: the ranks' columns side by side. `all` overlaps no part.
  virtual void all_gather_cols(const tensor::Tensor& part, const tensor::Tensor& all) = 0;
  // from, to [size, ...] without gaps: row r of `from` goes to rank r, row r of `to` comes from it.
  virtual void all_to_all(const tensor::Tensor& from, const tensor::Tensor& to) = 0;
};

// A group of one: nothing moves. A gather or exchange needs both tensors to be the same memory.
std::unique_ptr<Communicator> lone_communicator();

// One for each rank of a group of threads whose tensors are in host memory. A rank that waits yields its core.
std::vector<std::unique_ptr<Communicator>> host_communicators(int size);

}  // namespace polymath::parallel
