#pragma once

// A sink that records the output; another thread can wait for it.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/request.h"

namespace polymath::engine {

class Recorder : public TokenSink {
 public:
  void on_token(const TokenOutput& token) override {
    const std::lock_guard lock(mutex_);
    wrong_order_ |= finish_.has_value();
    tokens_.push_back(token.id);
    sampled_.push_back(token.sampled);
    n_top_ += token.top.size();
    changed_.notify_all();
  }
  void on_prompt_logprobs(const PromptLogprobs& logprobs) override {
    const std::lock_guard lock(mutex_);
    wrong_order_ |= !tokens_.empty() || logprobs.position != static_cast<int>(prompt_.size()) + 1;
    prompt_.push_back(logprobs.token);
  }
  void on_finish(const Finish& finish) override {
    const std::lock_guard lock(mutex_);
    wrong_order_ |= finish_.has_value();
    finish_ = finish;
    changed_.notify_all();
  }

  Finish wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finish_.has_value(); });
    return *finish_;
  }
  void wait_tokens(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_.size() >= n || finish_.has_value(); });
  }
  bool finished() const {
    const std::lock_guard lock(mutex_);
    return finish_.has_value();
  }
  bool wrong_order() const {
    const std::lock_guard lock(mutex_);
    return wrong_order_;
  }
  std::vector<int32_t> tokens() const {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }
  std::vector<TokenLogprob> sampled() const {
    const std::lock_guard lock(mutex_);
    return sampled_;
  }
  std::vector<TokenLogprob> prompt() const {
    const std::lock_guard lock(mutex_);
    return prompt_;
  }
  size_t n_top() const {
    const std::lock_guard lock(mutex_);
    return n_top_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int32_t> tokens_;
  std::vector<TokenLogprob> sampled_, prompt_;
  std::optional<Finish> finish_;
  size_t n_top_ = 0;
  bool wrong_order_ = false;
};

}  // namespace polymath::engine
