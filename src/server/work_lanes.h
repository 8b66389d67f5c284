#pragma once

// The threads that run handlers, in lanes that do not wait for each other.
//
//   kProbe    no request of another kind delays them
//   kMetrics  client by client in turns, so that one client delays only itself
//   kWork     requests with small bodies
//   kLarge    requests with large bodies, client by client in turns
//
// Thread safety: all of it.

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace polymath::server {

// Jobs by client; clients take turns, the jobs of one stay in order.
class FairQueue {
 public:
  using Job = std::function<void()>;

  void push(const std::string& client, Job job);
  Job pop() noexcept;  // null: empty

 private:
  std::list<std::string> turns_;  // clients with jobs; the front is next
  std::unordered_map<std::string, std::deque<Job>> jobs_;
};

class WorkLanes {
 public:
  enum Lane { kProbe, kMetrics, kWork, kLarge, kCount };

  // `threads` of each lane, at least 1. Throws std::system_error: the system makes no more threads.
  explicit WorkLanes(const std::array<int, kCount>& threads);
  ~WorkLanes();
  WorkLanes(const WorkLanes&) = delete;
  WorkLanes& operator=(const WorkLanes&) = delete;

  // A job that throws is logged. After join(): the job is dropped.
  void post(Lane lane, const std::string& client, FairQueue::Job job);
  // Runs what was posted, and ends the threads. Safe to call twice.
  void join();

 private:
  struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    FairQueue jobs;      // under mutex
    bool ended = false;  // under mutex
  };
  static void work(Queue& queue);

  std::array<Queue, kCount> queues_;
  std::vector<std::thread> threads_;
};

}  // namespace polymath::server
