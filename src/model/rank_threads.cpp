#include "model/rank_threads.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/process/fatal.h"
#include "base/process/thread_start.h"

namespace polymath::model {
namespace {

using parallel::Activity;

constexpr double kLookSeconds = 0.05;  // between two looks at the ranks
constexpr double kCountedMax = 0.5;    // of the time between two looks: a process that was paused was not stuck
constexpr double kPatience = 8;        // times the longest activity so far
constexpr double kEndSeconds = 0.5;    // that the threads may take to end

}  // namespace

RankThreads::RankThreads(std::vector<Member> members, double timeout_s,
                         std::function<void(const absl::Status&)> on_failure)
    : members_(std::move(members)),
      timeout_s_(timeout_s),
      on_failure_(std::move(on_failure)),
      n_done_(members_.size()),
      watched_(members_.size()) {
  for (size_t rank = 0; rank < members_.size(); ++rank) {
    threads_.push_back(base::start_thread("rank", [this, rank] { work(rank); }));
  }
}

RankThreads::~RankThreads() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  fail(absl::CancelledError("the ranks end"), lock);
  work_.notify_all();
  const auto ended = [this] { return n_ended_ == threads_.size(); };
  if (!changed_.wait_for(lock, std::chrono::duration<double>(kEndSeconds), ended)) {
    std::string stuck;
    for (size_t rank = 0; rank < members_.size(); ++rank) {
      if (n_done_[rank] < n_posted_) absl::StrAppend(&stuck, stuck.empty() ? "" : "; ", describe(rank));
    }
    base::fatal("ranks", absl::StrCat("does not end, so the process does: ", stuck));
  }
  lock.unlock();
  for (std::thread& thread : threads_) thread.join();
}

uint64_t RankThreads::post(std::shared_ptr<const Job> job, size_t slot) {
  const std::lock_guard lock(mutex_);
  if (!failure_.ok()) return n_posted_;  // wait() will say so
  CHECK(n_posted_ - *std::min_element(n_done_.begin(), n_done_.end()) < kJobsMax);
  posted_[n_posted_ % kJobsMax] = {std::move(job), slot};
  work_.notify_all();
  return n_posted_++;
}

void RankThreads::work(size_t rank) {
  if (members_[rank].backend != nullptr) members_[rank].backend->use_on_this_thread();
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || (failure_.ok() && n_done_[rank] < n_posted_); });
    if (stopping_) break;
    run_next(rank, lock);
  }
  ++n_ended_;
  changed_.notify_all();
}

void RankThreads::run_next(size_t rank, std::unique_lock<std::mutex>& lock) {
  const Posted next = posted_[n_done_[rank] % kJobsMax];
  watched_[rank].rested = 0;
  lock.unlock();
  const absl::Status status = (*next.job)(rank, next.slot);
  lock.lock();
  if (!status.ok() && failure_.ok()) {
    fail(absl::Status(status.code(), absl::StrCat(describe(rank), ": ", status.message())), lock);
  }
  ++n_done_[rank];
  changed_.notify_all();
}

// The first failure counts. The lock is let go for the callback.
void RankThreads::fail(const absl::Status& status, std::unique_lock<std::mutex>& lock) {
  if (!failure_.ok()) return;
  failure_ = status;
  lock.unlock();
  on_failure_(status);
  lock.lock();
  changed_.notify_all();
}

bool RankThreads::done(uint64_t ticket) const {
  return std::ranges::all_of(n_done_, [ticket](uint64_t n) { return n > ticket; });
}

absl::Status RankThreads::wait(uint64_t ticket) { return wait_for(ticket, timeout_s_ > 0); }
absl::Status RankThreads::wait_unwatched(uint64_t ticket) { return wait_for(ticket, false); }

absl::Status RankThreads::wait_for(uint64_t ticket, bool watched) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return !failure_.ok() || done(ticket); };
  double before = base::steady_seconds();
  while (!changed_.wait_for(lock, std::chrono::duration<double>(kLookSeconds), over)) {
    const double now = base::steady_seconds();
    const absl::Status seen =
        watched ? look(std::min(now - std::exchange(before, now), kCountedMax)) : absl::OkStatus();
    if (!seen.ok()) fail(seen, lock);
  }
  return failure_;
}

// kInternal: a rank is stuck.
absl::Status RankThreads::look(double elapsed) {
  const size_t n = members_.size();
  double least_rested = 1e9;
  std::string waiting;
  for (size_t rank = 0; rank < n; ++rank) {
    if (n_done_[rank] == n_posted_) continue;
    Watched& w = watched_[rank];
    const parallel::RankTrace::State state = members_[rank].trace->now();
    if (state != w.state) {
      if (!parallel::waits(w.state.activity)) w.longest = std::max(w.longest, w.rested);
      w.state = state;
      w.rested = 0;
    } else {
      w.rested += elapsed;
    }
    least_rested = std::min(least_rested, w.rested);
    absl::StrAppend(&waiting, waiting.empty() ? "" : "; ", describe(rank));
    if (!parallel::waits(state.activity) && w.rested >= std::max(timeout_s_, kPatience * w.longest)) {
      return absl::InternalError(absl::StrCat(describe(rank), ": no progress for ", timeout_s_, " s or more"));
    }
  }
  if (waiting.empty() || least_rested < timeout_s_) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("no rank made progress for ", timeout_s_, " s: ", waiting));
}

std::string RankThreads::describe(size_t rank) const {
  return absl::StrCat(members_[rank].name, ", ", members_[rank].trace->now().text());
}

}  // namespace polymath::model
