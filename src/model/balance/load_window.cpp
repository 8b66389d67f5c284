#include "model/balance/load_window.h"

#include "base/check.h"

namespace polymath::model {

void LoadWindow::add(const std::vector<Model::ExpertLoad>& loads) {
  Snapshot& snapshot = snapshots_.emplace_back();
  for (const Model::ExpertLoad& load : loads) snapshot.emplace_back(load.pairs.begin(), load.pairs.end());
  if (snapshots_.size() > static_cast<size_t>(parts_) + 1) snapshots_.pop_front();
}

LoadWindow::Loads LoadWindow::loads() const {
  Loads out;
  if (snapshots_.empty()) return out;
  const Snapshot &first = snapshots_.front(), &last = snapshots_.back();
  for (size_t l = 0; l < last.size(); ++l) {
    std::vector<double>& layer = out.emplace_back(last[l].size());
    for (size_t e = 0; e < layer.size(); ++e) layer[e] = static_cast<double>(last[l][e] - first[l][e]);
  }
  return out;
}

void LoadWindow::restart() {
  if (!snapshots_.empty()) snapshots_.erase(snapshots_.begin(), snapshots_.end() - 1);
}

}  // namespace polymath::model
