#pragma once

// What the ranks of a group do together. They sum and gather tensors in the memory of their devices.
//
//   communicator.all_reduce_sum(h);      // every rank: h = sum of the ranks' h, in order of the ranks
//
// Every rank calls the same operations in the same order, with equal shapes. All ranks get the same bits.
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
  // part [n, cols] f32 -> all [n, size * cols], the ranks' columns side by side. `all` overlaps no part.
  virtual void all_gather_cols(const tensor::Tensor& part, const tensor::Tensor& all) = 0;
};

// A group of one: nothing moves. Both tensors of a gather must be the same memory.
std::unique_ptr<Communicator> lone_communicator();

// One communicator a rank, for threads whose tensors are in host memory. A waiting rank yields its core.
std::vector<std::unique_ptr<Communicator>> host_communicators(int size);

}  // namespace polymath::parallel
