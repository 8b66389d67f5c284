#include "server/work_lanes.h"

#include <utility>

#include "server/quietly.h"

namespace polymath::server {

// If an allocation fails, a turn without a job may stay; pop() passes it over.
void FairQueue::push(const std::string& client, Job job) {
  std::deque<Job>& jobs = jobs_[client];
  if (jobs.empty()) turns_.push_back(client);
  jobs.push_back(std::move(job));
}

FairQueue::Job FairQueue::pop() noexcept {
  while (!turns_.empty()) {
    const auto found = jobs_.find(turns_.front());
    if (found == jobs_.end() || found->second.empty()) {
      turns_.pop_front();
      continue;
    }
    Job job = std::move(found->second.front());
    found->second.pop_front();
    if (found->second.empty()) {
      jobs_.erase(found);
      turns_.pop_front();
    } else {
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return job;
  }
  return nullptr;
}

WorkLanes::WorkLanes(const std::array<int, kCount>& threads) {
  try {
    for (int lane = 0; lane < kCount; ++lane) {
      for (int i = 0; i < threads[lane]; ++i) threads_.emplace_back([&queue = queues_[lane]] { work(queue); });
    }
  } catch (...) {
    join();
    throw;
  }
}

WorkLanes::~WorkLanes() { join(); }

void WorkLanes::post(Lane lane, const std::string& client, FairQueue::Job job) {
  Queue& queue = queues_[lane];
  {
    const std::lock_guard lock(queue.mutex);
    if (queue.ended) return;
    queue.jobs.push(client, std::move(job));
  }
  queue.changed.notify_one();
}

void WorkLanes::work(Queue& queue) {
  std::unique_lock lock(queue.mutex);
  for (;;) {
    FairQueue::Job job = queue.jobs.pop();
    if (job) {
      lock.unlock();
      quietly("a handler", job);
      job = nullptr;  // destroyed without the lock
      lock.lock();
      continue;
    }
    if (queue.ended) return;
    queue.changed.wait(lock);
  }
}

void WorkLanes::join() {
  for (Queue& queue : queues_) {
    {
      const std::lock_guard lock(queue.mutex);
      queue.ended = true;
    }
    queue.changed.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace polymath::server
