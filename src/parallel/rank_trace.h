#pragma once

// What a rank is doing, and what its communication took.
//
//   trace.enter(Activity::kAttention, layer);         // the rank's thread
//   if (trace.now() == before) ...no progress...      // a watchdog, on any thread
//
// Thread safety: one thread writes, any thread reads.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "parallel/communicator.h"

namespace polymath::parallel {

enum class Activity : uint8_t {
  kIdle,
  kEmbedding,
  kAttention,
  kFeedForward,
  kHead,
  kDevice,  // waits for the device
  kSum,     // the activities from here on wait for other ranks
  kGather,
  kSend,
  kReceive,
};
inline bool waits(Activity activity) { return activity >= Activity::kSum; }

class RankTrace {
 public:
  struct State {
    Activity activity = Activity::kIdle;
    int layer = -1;        // -1: none was entered yet
    uint32_t changes = 0;  // so far, modulo 2^32
    bool operator==(const State&) const = default;
    std::string text() const;  // "in a sum of layer 3"
  };
  State now() const;

  // The activity that ends. `layer`: of the whole model; absent: the layer stays.
  Activity enter(Activity activity) { return enter(activity, now().layer); }
  Activity enter(Activity activity, int layer);

  void add_communication(double seconds, int64_t bytes);
  void add_step(double seconds);
  struct Totals {
    int64_t steps = 0;
    double step_seconds = 0;           // from a step's start to its end, waits included
    double communication_seconds = 0;  // of these: in sums, gathers and messages
    int64_t bytes_sent = 0;            // a part of a sum or gather counts once a peer
  };
  Totals totals() const;

 private:
  std::atomic<uint64_t> state_{uint64_t{0xffff} << 8};  // changes << 24 | layer << 8 | activity
  std::atomic<int64_t> steps_{0}, bytes_sent_{0};
  std::atomic<double> step_seconds_{0}, communication_seconds_{0};
};

// For tests: what a rank does wrong. kStall, kShape: in its next sum or message. kFail: its step fails.
enum class RankFault : uint8_t { kNone, kStall, kShape, kFail };
// Of one rank, from this step on (1: its first).
struct PlannedFault {
  size_t rank = 0;
  RankFault fault = RankFault::kNone;
  int64_t step = 0;
};

// Notes in `trace` what `communicator` does. `fault` may change at any time. Both outlive it.
std::unique_ptr<Communicator> traced(std::unique_ptr<Communicator> communicator, RankTrace& trace,
                                     const std::atomic<RankFault>& fault);

}  // namespace polymath::parallel
