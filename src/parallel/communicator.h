#pragma once

// What the ranks of a group do together. They sum, gather and pass on tensors in the memory of their devices.
//
//   communicator.all_reduce_sum(h);      // every rank: h = sum of the ranks' h, in order of the ranks
//
// Every rank calls the same sums and gathers in the same order, with equal shapes. All ranks get the same bits. Each
// send() meets a receive() of an equal shape.
//
// Operations return nothing, as the ops of a backend. After a failure they return at once, and their results are void.
// health() says what failed.
//
// Thread safety: each rank calls its own communicator from its own thread. abort() and health(): any thread.

#include <memory>
#include <vector>

#include "base/status.h"
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
  // x f32, without gaps. Between GPUs: in groups of two. x may be used again once this returns, in the device's order.
  virtual void send(const tensor::Tensor& x, int to) = 0;
  virtual void receive(const tensor::Tensor& x, int from) = 0;  // overwrites x

  // Ends the waits of every rank of the group. The first reason counts.
  virtual void abort(const absl::Status& reason) = 0;
  // The reason of abort(). kInternal: the ranks' tensors did not fit each other.
  virtual absl::Status health() const = 0;
};

// A group of one: nothing moves. Both tensors of a gather must be the same memory.
std::unique_ptr<Communicator> lone_communicator();

// One communicator a rank, for threads whose tensors are in host memory. A waiting rank sleeps.
std::vector<std::unique_ptr<Communicator>> host_communicators(int size);

}  // namespace polymath::parallel
