#include "model/graph_capture.h"

#include <algorithm>

namespace polymath::model {
namespace {

// Few sizes keep start-up short; close sizes keep padding small.
int next_rows(int rows) {
  if (rows < 8) return 2 * rows;
  return rows + (rows < 32 ? 8 : rows < 64 ? 16 : rows < 256 ? 32 : 128);
}

// Rows of each size, ascending, up to `rows_max`.
std::vector<int> graph_sizes(int rows_max) {
  std::vector<int> sizes;
  for (int rows = 1; rows < rows_max; rows = next_rows(rows)) sizes.push_back(rows);
  sizes.push_back(rows_max);
  return sizes;
}

constexpr int kKeysMost[] = {kShortContext, 0};

}  // namespace

int GraphCapture::count(int rows_max) { return static_cast<int>(graph_sizes(rows_max).size() * std::size(kKeysMost)); }

absl::Status GraphCapture::capture(backend::Backend& backend, StepInputs& inputs, int rows_max,
                                   const std::function<void(const StepViews&)>& run) {
  const int64_t free_before = backend.memory_available();
  for (const int rows : graph_sizes(rows_max)) {
    StepViews views = inputs.put(backend, {}, rows);
    for (const int keys_most : kKeysMost) {
      views.layout.keys_most = keys_most;
      run(views);
      backend.begin_capture();
      run(views);
      ASSIGN_OR_RETURN(auto graph, backend.end_capture());
      steps_.push_back({rows, keys_most, std::move(graph)});
    }
  }
  bytes_ = static_cast<size_t>(std::max<int64_t>(0, free_before - backend.memory_available()));
  return backend.health();
}

const CapturedStep* GraphCapture::find(const Batch& batch) const {
  const int n = batch.n_tokens();
  if (!batch.adapters.empty()) return nullptr;  // graphs are of the base model
  if (n == 0 || n != batch.n_seqs() || n != static_cast<int>(batch.logit_rows.size())) return nullptr;
  const int keys = *std::max_element(batch.kv_len.begin(), batch.kv_len.end());
  for (const CapturedStep& step : steps_) {
    if (step.rows >= n && (step.keys_most == 0 || step.keys_most >= keys)) return &step;
  }
  return nullptr;
}

}  // namespace polymath::model
