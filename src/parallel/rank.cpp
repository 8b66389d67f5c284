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

}  // namespace polymath::parallel
