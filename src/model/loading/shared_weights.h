#pragma once

// Weights in host memory that the models of several replicas read. The first model of a rank loads them.
//
// Thread safety: none; models load one after the other.

#include <map>

#include "absl/functional/function_ref.h"
#include "model/loading/weight_store.h"

namespace polymath::model {

class SharedWeights {
 public:
  // The weights of a rank, numbered stage by stage, owned by this object, which outlives the models. Errors as
  // load_weights().
  absl::StatusOr<WeightStore> of_rank(int rank, absl::FunctionRef<absl::StatusOr<WeightStore>()> load) {
    auto at = stores_.find(rank);
    if (at == stores_.end()) {
      ASSIGN_OR_RETURN(WeightStore store, load());
      at = stores_.emplace(rank, std::move(store)).first;
    }
    return at->second.view();
  }

 private:
  std::map<int, WeightStore> stores_;
};

}  // namespace polymath::model
