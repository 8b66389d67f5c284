#include "api/ticker.h"

#include <chrono>
#include <utility>

#include "base/process/thread_start.h"

namespace polymath::api {

Ticker::Ticker(OutputPool& pool, double seconds)
    : pool_(pool), seconds_(seconds), thread_(base::start_thread("ticker", [this] { work(); })) {}

Ticker::~Ticker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Ticker::add(std::weak_ptr<OutputJob> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
}

void Ticker::work() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::duration<double>(seconds_), [this] { return stop_; })) {
    lock.unlock();
    tick();
    lock.lock();
  }
}

void Ticker::tick() {
  std::vector<std::shared_ptr<OutputJob>> living;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(jobs_, [](const auto& job) { return job.expired(); });
    for (const auto& job : jobs_) living.push_back(job.lock());
  }
  for (auto& job : living) {
    if (job != nullptr) pool_.schedule(std::move(job));
  }
}

}  // namespace polymath::api
