#include "parallel/rank.h"

#include "base/check.h"

namespace polymath::parallel {

bool divides(int64_t units, Rank rank) { return units > 0 && (units % rank.size == 0 || rank.size % units == 0); }

Slice slice_of(int64_t elements, Shard shard, Rank rank) {
  if (shard.unit == 0 || rank.size == 1) return {0, elements};
  CHECK(elements % shard.unit == 0);
  const int64_t units = elements / shard.unit;
  CHECK(divides(units, rank));
  if (units >= rank.size) {
    const int64_t count = elements / rank.size;
    return {rank.at * count, count};
  }
  return {rank.at * units / rank.size * shard.unit, shard.unit};
}

std::vector<Stage> stages_of(const std::vector<int>& layers) {
  if (layers.empty()) return {Stage{}};
  std::vector<Stage> stages;
  int first_layer = 0;
  for (size_t at = 0; at < layers.size(); ++at) {
    stages.push_back({static_cast<int>(layers.size()), static_cast<int>(at), first_layer, layers[at]});
    first_layer += layers[at];
  }
  return stages;
}

std::vector<int> even_stages(int n_layers, int n_stages) {
  CHECK(n_stages >= 1 && n_stages <= n_layers);
  std::vector<int> layers(static_cast<size_t>(n_stages), n_layers / n_stages);
  for (int i = 0; i < n_layers % n_stages; ++i) ++layers[static_cast<size_t>(n_stages - 2 - i)];
  return layers;
}

}  // namespace polymath::parallel
