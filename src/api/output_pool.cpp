#include "api/output_pool.h"

#include <utility>

#include "base/process/thread_start.h"

namespace polymath::api {

OutputPool::OutputPool(int n_threads) {
  for (int i = 0; i < n_threads; ++i) threads_.push_back(base::start_thread("output", [this] { work(); }));
}

OutputPool::~OutputPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void OutputPool::schedule(std::shared_ptr<OutputJob> job) {
  using State = OutputJob::State;
  State seen = job->state_.load();
  while (true) {
    if (seen == State::kQueued || seen == State::kAgain) return;
    const State next = seen == State::kIdle ? State::kQueued : State::kAgain;
    if (job->state_.compare_exchange_weak(seen, next)) {
      if (next == State::kQueued) enqueue(std::move(job));
      return;
    }
  }
}

void OutputPool::enqueue(std::shared_ptr<OutputJob> job) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void OutputPool::work() {
  using State = OutputJob::State;
  while (true) {
    std::shared_ptr<OutputJob> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    job->state_.store(State::kRunning);
    job->run();
    State running = State::kRunning;
    if (!job->state_.compare_exchange_strong(running, State::kIdle)) {
      job->state_.store(State::kQueued);
      enqueue(std::move(job));
    }
  }
}

}  // namespace polymath::api
