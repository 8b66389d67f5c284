#pragma once

// Schedules living jobs at a steady pace, so that a job can act while it has no events.
//
//   Ticker ticker(pool, 0.5);
//   ticker.add(job);            // every half second job->run(), on a thread of the pool
//
// Thread safety: add() may be called from any thread.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "api/output_pool.h"

namespace polymath::api {

class Ticker {
 public:
  // REQUIRES: seconds > 0; the pool outlives the ticker.
  Ticker(OutputPool& pool, double seconds);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void add(std::weak_ptr<OutputJob> job);

 private:
  void work();
  void tick();

  OutputPool& pool_;
  const double seconds_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::weak_ptr<OutputJob>> jobs_;  // under mutex_; ended ones are removed at the next tick
  bool stop_ = false;                           // under mutex_
  std::thread thread_;
};

}  // namespace polymath::api
