#pragma once

// Which rank a node has, and its communicators with the other nodes.

#include "model/rank_links.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::model {

// Ranks over nodes, one each. Node 0 has the one whose results count: the first of the last stage.
int rank_of_node(int node, int n_stages, int n_ranks);
int node_of_rank(int rank, int n_stages, int n_ranks);

// Joins this node's rank to its stage and to the stages beside it. `stages`: as LoadOptions::stages. Returns its stage.
// REQUIRES: the nodes divide by the stages.
parallel::Stage join_nodes(parallel::NodeMesh& mesh, const std::vector<int>& stages, RankLinks& links);

}  // namespace polymath::model
