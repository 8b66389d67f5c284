#pragma once

// A request's sink, and who calls it: the engine thread, until a watchdog takes it because that thread is stuck.
//
//   gate.call([&](TokenSink& sink) { sink.on_token(token); });   // engine thread
//   gate.finish(finish);                                         // engine thread
//   if (auto sink = gate.take()) sink->on_finish(error);         // watchdog
//
// The sink gets exactly one on_finish and nothing after it. If the sink is taken while the engine thread calls it, that
// thread ends the request after the call.

#include <atomic>
#include <memory>
#include <utility>

#include "engine/request.h"

namespace polymath::engine {

inline constexpr const char* kStuckSentence =
    "the engine is stuck: a step took longer than --step-timeout; the server is ending";

class SinkGate {
 public:
  void set(std::shared_ptr<TokenSink> sink) { sink_ = std::move(sink); }  // before any other call

  // Engine thread. Calls nothing once the sink is taken.
  template <typename Call>
  void call(Call call) {
    State idle = State::kIdle;
    if (!state_.compare_exchange_strong(idle, State::kInCall)) return;
    const Leave leave{*this};  // also when the call throws
    call(*sink_);
  }

  // Engine thread, once.
  void finish(const Finish& finish) {
    State idle = State::kIdle;
    if (state_.compare_exchange_strong(idle, State::kEnded)) sink_->on_finish(finish);
  }

  // Another thread. Null: the request has ended, or the engine thread will end it.
  std::shared_ptr<TokenSink> take() {
    State seen = State::kIdle;
    while (!state_.compare_exchange_strong(seen, State::kEnded)) {
      if (seen != State::kInCall || state_.compare_exchange_strong(seen, State::kTakenInCall)) return nullptr;
      seen = State::kIdle;  // the call has just returned
    }
    return sink_;
  }

 private:
  enum class State { kIdle, kInCall, kTakenInCall, kEnded, kCount };

  struct Leave {
    SinkGate& gate;
    ~Leave() { gate.leave(); }
  };
  void leave() {
    State in_call = State::kInCall;
    if (state_.compare_exchange_strong(in_call, State::kIdle)) return;
    state_.store(State::kEnded);
    sink_->on_finish({.reason = FinishReason::kError, .error = kStuckSentence});
  }

  std::atomic<State> state_{State::kIdle};
  std::shared_ptr<TokenSink> sink_;
};

}  // namespace polymath::engine
