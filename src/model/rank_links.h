#pragma once

// What one rank of a group has to do with the others.

#include <array>
#include <atomic>
#include <memory>
#include <utility>

#include "model/loading/load.h"
#include "parallel/rank_trace.h"

namespace polymath::model {

struct RankLinks {
  parallel::RankTrace trace;
  std::atomic<parallel::RankFault> fault{parallel::RankFault::kNone};
  std::unique_ptr<parallel::Communicator> group, before, after;  // as LoadOptions; null: there are no such peers

  std::array<parallel::Communicator*, 3> communicators() const { return {group.get(), before.get(), after.get()}; }
  void join(std::unique_ptr<parallel::Communicator> RankLinks::*as, std::unique_ptr<parallel::Communicator> with) {
    this->*as = parallel::traced(std::move(with), trace, fault);
  }
  // For load_model(). The links outlive the model.
  void give_to(LoadOptions& options) {
    options.group = group.get();
    options.before = before.get();
    options.after = after.get();
    options.trace = &trace;
  }
  absl::Status health() const {
    for (const parallel::Communicator* c : communicators()) {
      if (c != nullptr) RETURN_IF_ERROR(c->health());
    }
    return absl::OkStatus();
  }
};

}  // namespace polymath::model
