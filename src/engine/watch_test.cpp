// An engine thread that is stuck: heartbeat, abandoned requests, and the last catch.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <thread>

#include "base/clock.h"
#include "engine/harness_test.h"

namespace polymath::engine {
namespace {

constexpr int kAlways = 1 << 30;

// Lets the engine thread through so many times; then holds it until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    held_ = n_ == 0;
    changed_.notify_all();
    changed_.wait(lock, [this] { return n_ > 0; });
    held_ = false;
    --n_;
  }
  void let(int n) {
    const std::lock_guard lock(mutex_);
    n_ = n;
    changed_.notify_all();
  }
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return held_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int n_ = kAlways;
  bool held_ = false;
};

class GatedModel : public FakeModel {
 public:
  using FakeModel::FakeModel;
  absl::StatusOr<model::StepResult> finish() override {
    gate.pass();
    return FakeModel::finish();
  }
  Gate gate;
};

struct Fixture {
  Fixture() : engine(model, Harness::fill({}), registry) { engine.start(); }
  ~Fixture() { model.gate.let(kAlways); }

  std::shared_ptr<Recorder> submit(int n_tokens) {
    auto sink = std::make_shared<Recorder>();
    EXPECT_TRUE(engine.submit(greedy(8, 1, n_tokens, sink)).ok());
    return sink;
  }

  GatedModel model{kVocab, 16, {256, 0}, 256};
  base::MetricsRegistry registry;
  Engine engine;
};

TEST(Watch, TheHeartbeatRisesWhileIdleAndStopsInAStep) {
  Fixture f;
  const uint64_t before = f.engine.beats();
  std::this_thread::sleep_for(std::chrono::duration<double>(5 * kBeatSeconds));
  EXPECT_GT(f.engine.beats(), before);
  EXPECT_TRUE(f.engine.responds());
  f.model.gate.let(0);
  const auto sink = f.submit(5);
  f.model.gate.wait_until_held();
  const uint64_t stuck = f.engine.beats();
  std::this_thread::sleep_for(std::chrono::duration<double>(2 * kBeatSeconds));
  EXPECT_EQ(f.engine.beats(), stuck);
  EXPECT_TRUE(f.engine.responds()) << "a step may take long";
  f.model.gate.let(kAlways);
  EXPECT_EQ(sink->wait().reason, FinishReason::kLength);
  EXPECT_GT(f.engine.beats(), stuck);
}

TEST(Watch, AbandonedRequestsEndOnceThoughTheThreadIsStuck) {
  Fixture f;
  f.model.gate.let(3);
  const auto running = f.submit(200);
  f.model.gate.wait_until_held();
  const auto queued = f.submit(5);
  const size_t n_tokens = running->tokens().size();
  f.engine.abandon();
  for (const auto& sink : {running, queued}) {
    ASSERT_TRUE(sink->finished());
    EXPECT_EQ(sink->wait().reason, FinishReason::kError);
    EXPECT_EQ(sink->wait().error, kStuckSentence);
  }
  EXPECT_FALSE(f.engine.healthy());
  EXPECT_EQ(f.engine.submit(greedy(4, 1, 4, running)).status().code(), absl::StatusCode::kUnavailable);
  f.engine.abandon();
  f.model.gate.let(kAlways);  // the thread wakes late
  f.engine.drain(10);
  EXPECT_EQ(running->tokens().size(), n_tokens) << "nothing comes after the end";
  EXPECT_FALSE(running->wrong_order());
  EXPECT_FALSE(queued->wrong_order());
}

// The engine thread is stuck in the sink itself.
class GatedSink : public Recorder {
 public:
  void on_token(const TokenOutput& token) override {
    gate.pass();
    Recorder::on_token(token);
  }
  Gate gate;
};

TEST(Watch, ASinkThatIsBeingCalledIsEndedOnceItReturns) {
  Fixture f;
  const auto sink = std::make_shared<GatedSink>();
  sink->gate.let(0);
  ASSERT_TRUE(f.engine.submit(greedy(8, 1, 50, sink)).ok());
  sink->gate.wait_until_held();
  const auto other = f.submit(5);
  f.engine.abandon();
  EXPECT_TRUE(other->finished());
  EXPECT_FALSE(sink->finished());
  sink->gate.let(kAlways);
  EXPECT_EQ(sink->wait().reason, FinishReason::kError);
  f.engine.drain(10);
  EXPECT_EQ(sink->tokens().size(), 1u);
  EXPECT_FALSE(sink->wrong_order());
}

// A client that has its answer may come back before the step's end.
class PlaceTaker : public Recorder {
 public:
  explicit PlaceTaker(Engine& engine) : engine_(engine) {}
  void on_finish(const Finish& finish) override {
    taken = engine_.submit(greedy(4, 2, 1, next)).status();
    Recorder::on_finish(finish);
  }
  absl::Status taken;
  std::shared_ptr<Recorder> next = std::make_shared<Recorder>();

 private:
  Engine& engine_;
};

TEST(Watch, APlaceIsFreeOnceItsRequestHasEnded) {
  FakeModel model(kVocab, 16, {256, 0}, 256);
  base::MetricsRegistry registry;
  Engine engine(model, Harness::fill({.sequences_max = 1, .waiting_max = 1}), registry);
  engine.start();
  for (int i = 0; i < 20; ++i) {
    std::vector<Request> two;
    const auto first = std::make_shared<PlaceTaker>(engine), second = std::make_shared<PlaceTaker>(engine);
    two.push_back(greedy(4, 1, 1, first));
    two.push_back(greedy(4, 1, 1, second));
    ASSERT_TRUE(engine.submit(std::move(two)).ok());
    for (const auto& sink : {first, second}) {
      sink->wait();
      ASSERT_TRUE(sink->taken.ok()) << sink->taken;
      EXPECT_EQ(sink->next->wait().reason, FinishReason::kLength);
    }
  }
  engine.drain(10);
}

class HungrySink : public Recorder {
 public:
  void on_token(const TokenOutput&) override { throw std::bad_alloc(); }
};

TEST(Watch, NoMemoryInAStepEndsTheRequestsAndTheEngine) {
  Fixture f;
  f.model.gate.let(0);
  const auto hungry = std::make_shared<HungrySink>();
  ASSERT_TRUE(f.engine.submit(greedy(8, 1, 50, hungry)).ok());
  const auto other = f.submit(50);
  f.model.gate.let(kAlways);
  for (const auto& sink : {std::shared_ptr<Recorder>(hungry), other}) {
    EXPECT_EQ(sink->wait().reason, FinishReason::kError);
    EXPECT_EQ(sink->wait().error, "the model failed: no memory is left");
    EXPECT_FALSE(sink->wrong_order());
  }
  EXPECT_FALSE(f.engine.healthy());
}

}  // namespace
}  // namespace polymath::engine
