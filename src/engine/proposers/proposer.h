#pragma once

// Proposers of draft tokens for speculative decoding.
//
//   proposer->begin_step();
//   sequence.drafts = proposer->propose(sequence, max);   // for each sequence that decodes
//
// A proposer is one file and its line in list.cpp. A wrong draft costs time and never changes an answer.
//
// Thread safety: none. The engine thread owns it; it allocates nothing after construction.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/status.h"
#include "engine/options.h"
#include "engine/sequence.h"

namespace polymath::engine {

class Proposer {
 public:
  virtual ~Proposer() = default;
  virtual void begin_step() {}
  // Ids that may follow sequence.tokens, at most `max`; empty: no idea. Valid until the sequence changes.
  // REQUIRES: max >= 1, sequence.n_unknown == 0.
  virtual std::span<const int32_t> propose(const Sequence& sequence, int max) = 0;
};

struct ProposerKind {
  std::string_view name;                             // as --speculative-config spells "method"
  absl::Status (*check)(const SpeculationOptions&);  // kInvalidArgument: an option of this method is out of range
  std::unique_ptr<Proposer> (*create)(const SpeculationOptions&);  // REQUIRES: checked
};

std::span<const ProposerKind> proposers();
const ProposerKind* find_proposer(std::string_view name);  // null: there is none of this name

// One file each.
extern const ProposerKind kNgram;

}  // namespace polymath::engine
