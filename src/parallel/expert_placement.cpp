#include "parallel/expert_placement.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace polymath::parallel {
namespace {

// One copy of an expert, with its share of the load.
struct Copy {
  int32_t expert = 0;
  double load = 0;
};

struct Pack {
  std::vector<Copy> copies;
  double load = 0;

  bool has(int32_t expert) const {
    return std::any_of(copies.begin(), copies.end(), [&](const Copy& c) { return c.expert == expert; });
  }
  void add(const Copy& copy) {
    copies.push_back(copy);
    load += copy.load;
  }
  void replace(size_t at, const Copy& copy) {
    load += copy.load - copies[at].load;
    copies[at] = copy;
  }
};

// The next copy goes to the expert with the largest load a copy. Of equal ones the first expert wins.
std::vector<Copy> make_copies(std::span<const int32_t> experts, std::span<const double> loads, int n_slots,
                              int copies_max) {
  std::vector<int> n_copies(experts.size(), 1);
  for (int spare = n_slots - static_cast<int>(experts.size()); spare > 0; --spare) {
    size_t most = experts.size();
    for (size_t i = 0; i < experts.size(); ++i) {
      if (n_copies[i] == copies_max) continue;
      const auto share = [&](size_t e) { return loads[static_cast<size_t>(experts[e])] / n_copies[e]; };
      if (most == experts.size() || share(i) > share(most)) most = i;
    }
    CHECK(most < experts.size());
    ++n_copies[most];
  }
  std::vector<Copy> copies;
  for (size_t i = 0; i < experts.size(); ++i) {
    for (int c = 0; c < n_copies[i]; ++c) {
      copies.push_back({experts[i], loads[static_cast<size_t>(experts[i])] / n_copies[i]});
    }
  }
  std::stable_sort(copies.begin(), copies.end(), [](const Copy& a, const Copy& b) { return a.load > b.load; });
  return copies;
}

// Every pack with room holds the expert already. A full pack without it takes the copy, and gives another one away.
void make_room(const Copy& copy, size_t capacity, std::vector<Pack>& packs) {
  for (Pack& full : packs) {
    if (full.has(copy.expert)) continue;
    for (Pack& open : packs) {
      if (open.copies.size() == capacity) continue;
      for (size_t i = full.copies.size(); i-- > 0;) {  // small loads came last
        if (open.has(full.copies[i].expert)) continue;
        open.add(full.copies[i]);
        return full.replace(i, copy);
      }
    }
  }
  CHECK(false && "an expert has more copies than packs");
}

// Swaps a copy of the busiest pack with a smaller one, where that lowers the busier of the two. False: none does.
bool swap_once(std::vector<Pack>& packs) {
  Pack& busiest = *std::max_element(packs.begin(), packs.end(), [](auto& a, auto& b) { return a.load < b.load; });
  struct Best {
    double load;
    Pack* pack = nullptr;
    size_t mine = 0, its = 0;
  } best{busiest.load * (1 - 1e-9), nullptr, 0, 0};
  for (Pack& other : packs) {
    if (&other == &busiest) continue;
    for (size_t i = 0; i < busiest.copies.size(); ++i) {
      if (other.has(busiest.copies[i].expert)) continue;
      for (size_t j = 0; j < other.copies.size(); ++j) {
        const double moved = busiest.copies[i].load - other.copies[j].load;
        const double load = std::max(busiest.load - moved, other.load + moved);
        if (load >= best.load || busiest.has(other.copies[j].expert)) continue;
        best = {load, &other, i, j};
      }
    }
  }
  if (best.pack == nullptr) return false;
  const Copy mine = busiest.copies[best.mine];
  busiest.replace(best.mine, best.pack->copies[best.its]);
  best.pack->replace(best.its, mine);
  return true;
}

// copies: largest load first, n_packs * capacity of them.
std::vector<Pack> pack_copies(const std::vector<Copy>& copies, int n_packs, int capacity) {
  std::vector<Pack> packs(static_cast<size_t>(n_packs));
  for (const Copy& copy : copies) {
    Pack* least = nullptr;
    for (Pack& pack : packs) {
      if (pack.copies.size() == static_cast<size_t>(capacity) || pack.has(copy.expert)) continue;
      if (least == nullptr || pack.load < least->load) least = &pack;
    }
    least != nullptr ? least->add(copy) : make_room(copy, static_cast<size_t>(capacity), packs);
  }
  for (size_t swaps = copies.size(); swaps > 0 && swap_once(packs); --swaps) {
  }
  return packs;
}

// The experts of each node: all on one, or whole groups shared evenly.
std::vector<std::vector<int32_t>> experts_of_nodes(std::span<const double> loads, const PlacementShape& shape) {
  const int n_experts = static_cast<int>(loads.size()), of_group = n_experts / shape.n_groups;
  std::vector<Copy> groups;
  for (int g = 0; g < shape.n_groups; ++g) {
    const auto of = loads.subspan(static_cast<size_t>(g * of_group), static_cast<size_t>(of_group));
    groups.push_back({g, std::accumulate(of.begin(), of.end(), 0.0)});
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Copy& a, const Copy& b) { return a.load > b.load; });
  std::vector<std::vector<int32_t>> out;
  for (const Pack& node : pack_copies(groups, shape.n_nodes, shape.n_groups / shape.n_nodes)) {
    std::vector<int32_t>& experts = out.emplace_back();
    for (const Copy& group : node.copies) {
      for (int e = 0; e < of_group; ++e) experts.push_back(group.expert * of_group + e);
    }
    std::sort(experts.begin(), experts.end());
  }
  return out;
}

bool is_hierarchical(int n_experts, const PlacementShape& s) {
  return s.n_nodes > 1 && s.n_groups % s.n_nodes == 0 && s.n_ranks % s.n_nodes == 0 && n_experts % s.n_groups == 0 &&
         s.slots_per_rank <= n_experts / s.n_nodes;
}

// Slots in common of two ranks.
int overlap(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<int>(
      std::count_if(a.begin(), a.end(), [&](int32_t e) { return std::find(b.begin(), b.end(), e) != b.end(); }));
}

std::span<const int32_t> slots_of(const Placement& placement, int rank, const PlacementShape& shape) {
  const auto n = static_cast<size_t>(shape.slots_per_rank);
  return std::span(placement).subspan(static_cast<size_t>(rank) * n, n);
}

// An expert that stays on its rank keeps its slot. The others fill the gaps in order.
void fill_rank(std::span<const int32_t> now, std::span<const int32_t> wanted, std::span<int32_t> out) {
  std::vector<int32_t> coming;
  for (const int32_t e : wanted) {
    if (std::find(now.begin(), now.end(), e) == now.end()) coming.push_back(e);
  }
  size_t next = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    const bool stays = std::find(wanted.begin(), wanted.end(), now[i]) != wanted.end();
    out[i] = stays ? now[i] : coming[next++];
  }
}

struct Renaming {
  const Placement &now, &wanted;
  const PlacementShape& shape;
};

struct RankPair {
  int to = 0, from = 0, common = -1;
};

// The two with most experts in common: `to` is not filled, `from` not used, and both are of one node.
RankPair closest_pair(const Renaming& r, const std::vector<bool>& filled, const std::vector<bool>& used) {
  const int of_node = r.shape.n_ranks / r.shape.n_nodes;
  RankPair best;
  for (int pair = 0; pair < r.shape.n_ranks * of_node; ++pair) {
    const int to = pair / of_node, from = to / of_node * of_node + pair % of_node;
    if (filled[static_cast<size_t>(to)] || used[static_cast<size_t>(from)]) continue;
    const int common = overlap(slots_of(r.now, to, r.shape), slots_of(r.wanted, from, r.shape));
    if (common > best.common) best = {to, from, common};
  }
  return best;
}

}  // namespace

Placement first_placement(int n_experts, const PlacementShape& shape) {
  Placement out(static_cast<size_t>(shape.n_ranks * shape.slots_per_rank));
  for (size_t p = 0; p < out.size(); ++p) out[p] = static_cast<int32_t>(p % static_cast<size_t>(n_experts));
  return out;
}

Placement place_experts(std::span<const double> loads, const PlacementShape& given) {
  const int n_experts = static_cast<int>(loads.size());
  PlacementShape shape = given;
  if (!is_hierarchical(n_experts, shape)) shape.n_nodes = shape.n_groups = 1;
  CHECK(n_experts <= shape.n_ranks * shape.slots_per_rank && shape.slots_per_rank <= n_experts);
  const int ranks_of_node = shape.n_ranks / shape.n_nodes;
  Placement out;
  for (const std::vector<int32_t>& experts : experts_of_nodes(loads, shape)) {
    const auto copies = make_copies(experts, loads, ranks_of_node * shape.slots_per_rank, ranks_of_node);
    for (const Pack& rank : pack_copies(copies, ranks_of_node, shape.slots_per_rank)) {
      for (const Copy& copy : rank.copies) out.push_back(copy.expert);
    }
  }
  return out;
}

Placement keep_in_place(const Placement& now, const Placement& wanted, const PlacementShape& shape) {
  CHECK(now.size() == wanted.size());
  Placement out(now.size());
  std::vector<bool> filled(static_cast<size_t>(shape.n_ranks)), used(filled);
  for (int left = shape.n_ranks; left > 0; --left) {
    const RankPair best = closest_pair({now, wanted, shape}, filled, used);
    filled[static_cast<size_t>(best.to)] = used[static_cast<size_t>(best.from)] = true;
    const auto n = static_cast<size_t>(shape.slots_per_rank);
    fill_rank(slots_of(now, best.to, shape), slots_of(wanted, best.from, shape),
              std::span(out).subspan(static_cast<size_t>(best.to) * n, n));
  }
  return out;
}

std::vector<double> rank_loads(std::span<const double> loads, const Placement& placement, int n_ranks) {
  std::vector<int> n_copies(loads.size());
  for (const int32_t e : placement) ++n_copies[static_cast<size_t>(e)];
  std::vector<double> out(static_cast<size_t>(n_ranks));
  const size_t of_rank = placement.size() / out.size();
  for (size_t p = 0; p < placement.size(); ++p) {
    const auto e = static_cast<size_t>(placement[p]);
    out[p / of_rank] += loads[e] / n_copies[e];
  }
  return out;
}

double rank_imbalance(std::span<const double> loads, const Placement& placement, int n_ranks) {
  const std::vector<double> ranks = rank_loads(loads, placement, n_ranks);
  const double sum = std::accumulate(ranks.begin(), ranks.end(), 0.0);
  return sum > 0 ? *std::max_element(ranks.begin(), ranks.end()) * n_ranks / sum : 1;
}

}  // namespace polymath::parallel
