#include "model/loading/surplus.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace polymath::model {
namespace {

enum class Where { kStart, kPart, kEnd, kLastWord };  // words are apart by dots and underscores

struct Kind {
  std::string_view text;  // of the tensor's name
  Where where;
  std::string_view what;
};

// Without these, weights that are read would have another scale or rotation.
constexpr std::string_view kHarmful[] = {"weight_scale", "block_scale", "_scale_inv", "rope_freqs.weight",
                                         "rope_factors_"};

// The first row that matches counts. Sources: transformers' and the publishers' classes, TRL's value heads. Scales of
// the KV cache are as ModelOpt, AutoFP8 and compressed-tensors write them.
constexpr Kind kKinds[] = {
    {".inv_freq", Where::kEnd, "rotary caches"},
    {".cos_cached", Where::kEnd, "rotary caches"},
    {".sin_cached", Where::kEnd, "rotary caches"},
    {"rope.freqs", Where::kEnd, "rotary caches"},
    {"mtp.", Where::kStart, "multi-token prediction"},
    {".mtp", Where::kPart, "multi-token prediction"},
    {"nextn", Where::kPart, "multi-token prediction"},
    {"k_scale", Where::kLastWord, "scales of the KV cache"},
    {"v_scale", Where::kLastWord, "scales of the KV cache"},
    {"q_scale", Where::kLastWord, "scales of the KV cache"},
    {"kv_scale", Where::kLastWord, "scales of the KV cache"},
    {"prob_scale", Where::kLastWord, "scales of the KV cache"},
    {"k_proj.output_scale", Where::kEnd, "scales of the KV cache"},
    {"v_proj.output_scale", Where::kEnd, "scales of the KV cache"},
    {"v_head.", Where::kStart, "a value head"},
    {"value_head.", Where::kStart, "a value head"},
    {"score.", Where::kStart, "a value head"},
    {"visual", Where::kPart, "vision"},
    {"vision", Where::kPart, "vision"},
    {"vit.", Where::kStart, "vision"},
    {"image_newline", Where::kPart, "vision"},
    {"multi_modal_projector", Where::kPart, "vision"},
    {"mm_projector", Where::kPart, "vision"},
    {"patch_merger", Where::kPart, "vision"},
    {"audio", Where::kPart, "audio"},
    {"talker.", Where::kStart, "speech"},
    {"token2wav.", Where::kStart, "speech"},
    {"code2wav.", Where::kStart, "speech"},
};

bool matches(const Kind& kind, const std::string& name) {
  const absl::string_view text(kind.text.data(), kind.text.size());
  switch (kind.where) {
    case Where::kStart:
      return absl::StartsWith(name, text);
    case Where::kPart:
      return absl::StrContains(name, text);
    case Where::kEnd:
      return absl::EndsWith(name, text);
    case Where::kLastWord:
      return absl::EndsWith(name, absl::StrCat(".", text)) || absl::EndsWith(name, absl::StrCat("_", text));
  }
  return false;
}

// "model.layers.61.eh_proj.weight" -> 61; -1: not the name of a layer's tensor.
int layer_of(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return -1;
  name.remove_prefix(prefix.size());
  for (const std::string_view list : {"layers.", "blocks.", "blk."}) {
    if (!name.starts_with(list)) continue;
    const std::string_view digits = name.substr(list.size());
    int layer = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
    return error == std::errc() && end != digits.data() + digits.size() && *end == '.' ? layer : -1;
  }
  return -1;
}

std::string_view kind_of(const std::string& name, std::string_view prefix, int n_layers) {
  if (layer_of(name, prefix) >= n_layers) return "layers past the last (multi-token prediction, or not wanted)";
  for (const Kind& kind : kKinds) {
    if (matches(kind, name)) return kind.what;
  }
  return {};
}

bool is_harmful(const std::string& name) {
  return std::any_of(std::begin(kHarmful), std::end(kHarmful), [&](std::string_view part) {
    return absl::StrContains(name, absl::string_view(part.data(), part.size()));
  });
}

}  // namespace

Surplus sort_surplus(const std::vector<std::string>& names, std::string_view prefix, const ModelConfig& config) {
  Surplus out;
  std::map<std::string_view, size_t> counts;
  for (const std::string& name : names) {
    const std::string_view kind = kind_of(name, prefix, static_cast<int>(config.layers.size()));
    if (!kind.empty()) {
      ++counts[kind];
    } else if (is_harmful(name)) {
      out.harmful.push_back(name);
    } else {
      out.unknown.push_back(name);
    }
  }
  for (const auto& [kind, n] : counts) {
    out.known.push_back(absl::StrCat(n, n == 1 ? " tensor of " : " tensors of ", std::string(kind)));
  }
  return out;
}

}  // namespace polymath::model
