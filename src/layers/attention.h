#pragma once

// Every kind of attention, in one list. To add one: write its file, then its include and its line here.

#include <optional>
#include <variant>

#include "layers/attention_gqa.h"
#include "layers/attention_mla.h"
#include "layers/gated_delta_net.h"

namespace polymath::layers {

using AttentionConfig = std::variant<GroupedQuery, Latent, GatedDeltaNet>;

// The kinds' members, of whichever kind it is.
inline absl::Status check(const AttentionConfig& config) {
  return std::visit([](const auto& kind) { return kind.check(); }, config);
}
inline void add_slots(const AttentionConfig& config, SlotList& slots, int64_t hidden) {
  std::visit([&](const auto& kind) { kind.add_slots(slots, hidden); }, config);
}
inline kvcache::CacheSpec cache(const AttentionConfig& config) {
  return std::visit([](const auto& kind) { return kind.cache(); }, config);
}
// Of kinds that attend to cached keys; absent: a recurrence.
inline std::optional<backend::AttentionParams> params(const AttentionConfig& config) {
  return std::visit(
      [](const auto& kind) -> std::optional<backend::AttentionParams> {
        if constexpr (requires { kind.params(); }) {
          return kind.params();
        } else {
          return std::nullopt;
        }
      },
      config);
}
inline void reserve(const AttentionConfig& config, StepNeeds& needs) {
  std::visit([&](const auto& kind) { kind.reserve(needs); }, config);
}
inline absl::Status split(AttentionConfig& config, parallel::Rank rank) {
  return std::visit([&](auto& kind) { return kind.split(rank); }, config);
}
inline absl::StatusOr<std::unique_ptr<AttentionLayer>> make_attention(const AttentionConfig& config,
                                                                      const LayerBuilder& builder) {
  return std::visit([&](const auto& kind) { return kind.make(builder); }, config);
}
// Null: the kind rotates nothing. Kinds call their RopeConfig `rope`.
inline const RopeConfig* rope(const AttentionConfig& config) {
  return std::visit(
      [](const auto& kind) -> const RopeConfig* {
        if constexpr (requires { kind.rope; }) {
          return &kind.rope;
        } else {
          return nullptr;
        }
      },
      config);
}
// Floor 0: the kind scales no query by its position. Kinds call theirs `temperature`.
inline QueryTemperature query_temperature(const AttentionConfig& config) {
  return std::visit(
      [](const auto& kind) -> QueryTemperature {
        if constexpr (requires { kind.temperature; }) {
          return kind.temperature;
        } else {
          return {};
        }
      },
      config);
}
inline std::string text(const AttentionConfig& config) {
  return std::visit([](const auto& kind) { return kind.text(); }, config);
}

}  // namespace polymath::layers
