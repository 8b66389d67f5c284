#include "model/nodes/node_links.h"

#include <utility>
#include <vector>

namespace polymath::model {
namespace {

int result_rank(int n_stages, int n_ranks) { return n_ranks - n_ranks / n_stages; }

}  // namespace

int rank_of_node(int node, int n_stages, int n_ranks) { return (node + result_rank(n_stages, n_ranks)) % n_ranks; }
int node_of_rank(int rank, int n_stages, int n_ranks) {
  return (rank + n_ranks - result_rank(n_stages, n_ranks)) % n_ranks;
}

parallel::Stage join_nodes(parallel::NodeMesh& mesh, const std::vector<int>& stages, RankLinks& links) {
  const auto all = parallel::stages_of(stages);
  const int n_stages = static_cast<int>(all.size()), n_ranks = mesh.size(), of_stage = n_ranks / n_stages;
  const int rank = rank_of_node(mesh.at(), n_stages, n_ranks), stage = rank / of_stage;
  const auto communicator = [&](std::vector<int> ranks) {
    for (int& r : ranks) r = node_of_rank(r, n_stages, n_ranks);
    return mesh.communicator(std::move(ranks));
  };
  if (of_stage > 1) {
    std::vector<int> ranks;
    for (int r = stage * of_stage; r < (stage + 1) * of_stage; ++r) ranks.push_back(r);
    links.join(&RankLinks::group, communicator(std::move(ranks)));
  }
  if (stage > 0) links.join(&RankLinks::before, communicator({rank - of_stage, rank}));
  if (stage + 1 < n_stages) links.join(&RankLinks::after, communicator({rank, rank + of_stage}));
  return all[static_cast<size_t>(stage)];
}

}  // namespace polymath::model
