#include "parallel/rank_trace.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace polymath::parallel {
namespace {

using tensor::Tensor;

constexpr int kNoLayer = 0xffff;

const char* name_of(Activity activity) {
  switch (activity) {
    case Activity::kIdle:
      return "between two steps";
    case Activity::kEmbedding:
      return "in the embedding";
    case Activity::kAttention:
      return "in the attention";
    case Activity::kFeedForward:
      return "in the feed-forward part";
    case Activity::kHead:
      return "in the head";
    case Activity::kSum:
      return "in a sum over its group";
    case Activity::kGather:
      return "in a gather over its group";
    case Activity::kSend:
      return "sending to the next stage";
    case Activity::kReceive:
      return "receiving from the stage before";
    case Activity::kDevice:
      return "waiting for its device";
  }
  return "";
}

// One writer, so that no read-modify-write is needed.
template <typename T>
void add(std::atomic<T>& total, T value) {
  total.store(total.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

class TracedCommunicator : public Communicator {
 public:
  TracedCommunicator(std::unique_ptr<Communicator> inner, RankTrace& trace, const std::atomic<RankFault>& fault)
      : inner_(std::move(inner)), trace_(trace), fault_(fault) {}

  Rank rank() const override { return inner_->rank(); }
  void all_reduce_sum(const Tensor& x) override {
    const Tensor given = with_fault(x);
    const Scope scope(trace_, Activity::kSum, peers() * bytes(x));
    inner_->all_reduce_sum(given);
  }
  void all_gather_cols(const Tensor& part, const Tensor& all) override {
    const Scope scope(trace_, Activity::kGather, peers() * bytes(part));
    inner_->all_gather_cols(part, all);
  }
  void send(const Tensor& x, int to) override {
    const Tensor given = with_fault(x);
    const Scope scope(trace_, Activity::kSend, bytes(x));
    inner_->send(given, to);
  }
  void receive(const Tensor& x, int from) override {
    const Tensor given = with_fault(x);
    const Scope scope(trace_, Activity::kReceive, 0);
    inner_->receive(given, from);
  }
  void abort(const absl::Status& reason) override { inner_->abort(reason); }
  absl::Status health() const override { return inner_->health(); }

 private:
  class Scope {
   public:
    Scope(RankTrace& trace, Activity activity, int64_t bytes)
        : trace_(trace), bytes_(bytes), begin_(base::steady_seconds()), before_(trace.enter(activity)) {}
    ~Scope() {
      trace_.enter(before_);
      trace_.add_communication(base::steady_seconds() - begin_, bytes_);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    RankTrace& trace_;
    const int64_t bytes_;
    const double begin_;
    const Activity before_;
  };

  int64_t peers() const { return inner_->rank().size - 1; }
  static int64_t bytes(const Tensor& x) { return static_cast<int64_t>(x.bytes()); }

  Tensor with_fault(const Tensor& x) const {
    const RankFault fault = fault_.load(std::memory_order_relaxed);
    while (fault == RankFault::kStall) std::this_thread::sleep_for(std::chrono::hours(1));
    return fault == RankFault::kShape ? Tensor{x.dtype, {x.shape.elements() - 1}, x.data} : x;
  }

  const std::unique_ptr<Communicator> inner_;
  RankTrace& trace_;
  const std::atomic<RankFault>& fault_;
};

}  // namespace

std::string RankTrace::State::text() const {
  const char* name = name_of(activity);
  return layer < 0 || activity == Activity::kIdle ? name : absl::StrCat(name, ", layer ", layer);
}

RankTrace::State RankTrace::now() const {
  const uint64_t state = state_.load(std::memory_order_relaxed);
  const int layer = static_cast<int>(state >> 8 & kNoLayer);
  return {static_cast<Activity>(state & 0xff), layer == kNoLayer ? -1 : layer, static_cast<uint32_t>(state >> 24)};
}

Activity RankTrace::enter(Activity activity, int layer) {
  const State before = now();
  const auto changes = static_cast<uint64_t>(before.changes + 1);
  state_.store(changes << 24 | static_cast<uint64_t>(layer & kNoLayer) << 8 | static_cast<uint64_t>(activity),
               std::memory_order_relaxed);
  return before.activity;
}

void RankTrace::add_communication(double seconds, int64_t bytes) {
  add(communication_seconds_, seconds);
  add(bytes_sent_, bytes);
}

void RankTrace::add_step(double seconds) {
  add(step_seconds_, seconds);
  add(steps_, int64_t{1});
}

RankTrace::Totals RankTrace::totals() const {
  return {steps_.load(std::memory_order_relaxed), step_seconds_.load(std::memory_order_relaxed),
          communication_seconds_.load(std::memory_order_relaxed), bytes_sent_.load(std::memory_order_relaxed)};
}

std::unique_ptr<Communicator> traced(std::unique_ptr<Communicator> communicator, RankTrace& trace,
                                     const std::atomic<RankFault>& fault) {
  return std::make_unique<TracedCommunicator>(std::move(communicator), trace, fault);
}

}  // namespace polymath::parallel
