#include "engine/proposers/proposer.h"

namespace polymath::engine {

// In the order in which errors and help name them.
std::span<const ProposerKind> proposers() {
  static const ProposerKind kinds[] = {kNgram};
  return kinds;
}

const ProposerKind* find_proposer(std::string_view name) {
  for (const ProposerKind& kind : proposers()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

}  // namespace polymath::engine
