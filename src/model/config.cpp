#include "model/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/architecture.h"
#include "model/load.h"

namespace polymath::model {
namespace {

// Far above any model, far below what would overflow; beyond: kInvalidArgument.
constexpr int64_t kWidthMax = 1 << 20;

absl::Status check_range(std::string_view what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("config.json: ", std::string(what), " is ", value, "; it must be in [", low, ", ", high, "]"));
}

absl::Status check_attention(const AttentionConfig& a) {
  RETURN_IF_ERROR(check_range("the number of attention heads", a.n_heads, 1, 65536));
  RETURN_IF_ERROR(check_range("the number of key-value heads", a.n_kv_heads, 1, a.n_heads));
  RETURN_IF_ERROR(check_range("head_dim", a.head_dim, 1, 65536));
  RETURN_IF_ERROR(check_range("the rotated part of a head", a.rope.dims, 0, a.head_dim));
  if (a.n_heads % a.n_kv_heads != 0) {
    return absl::InvalidArgumentError("config.json: the attention heads do not divide by the key-value heads");
  }
  if (a.rope.dims % 2 != 0) return absl::InvalidArgumentError("config.json: the rotated part of a head must be even");
  if (!(a.scale > 0)) return absl::InvalidArgumentError("config.json: the attention scale must be positive");
  RETURN_IF_ERROR(check_range("sliding_window", a.window, 0, 1 << 30));
  RETURN_IF_ERROR(check_range("attention_chunk_size", a.chunk, 0, 1 << 30));
  if (a.kv_lora == 0) return absl::OkStatus();
  RETURN_IF_ERROR(check_range("kv_lora_rank", a.kv_lora, 1, kWidthMax));
  RETURN_IF_ERROR(check_range("q_lora_rank", a.q_lora, 0, kWidthMax));
  RETURN_IF_ERROR(check_range("qk_nope_head_dim", a.nope_dim, 1, 65536));
  return check_range("v_head_dim", a.value_dim, 1, 65536);
}

absl::Status check_ffn(const FfnConfig& f) {
  const auto& r = f.router;
  RETURN_IF_ERROR(check_range("the number of experts", r.n_experts, 1, routing::kExpertsMax));
  RETURN_IF_ERROR(check_range("the experts of a token", r.top_k, 1, std::min<int>(r.n_experts, routing::kTopKMax)));
  RETURN_IF_ERROR(check_range("a feed-forward's width", f.intermediate, 1, kWidthMax));
  RETURN_IF_ERROR(check_range("the slots of an expert", f.slots, f.routing == "soft_moe" ? 1 : 0, 4096));
  RETURN_IF_ERROR(check_range("the number of expert groups", r.n_groups, 1, r.n_experts));
  RETURN_IF_ERROR(check_range("the groups of a token", r.top_groups, 1, r.n_groups));
  if (r.n_experts % r.n_groups != 0)
    return absl::InvalidArgumentError("config.json: the experts do not divide by the groups");
  if (r.top_k > r.n_experts / r.n_groups * r.top_groups) {
    return absl::InvalidArgumentError("config.json: a token's groups hold fewer experts than it has to choose");
  }
  return absl::OkStatus();
}

absl::Status check_config(const ModelConfig& c) {
  RETURN_IF_ERROR(check_range("hidden_size", c.hidden, 1, kWidthMax));
  RETURN_IF_ERROR(check_range("vocab_size", c.vocab, 1, 1 << 24));
  RETURN_IF_ERROR(check_range("max_position_embeddings", c.positions_max, 1, 1 << 28));
  if (!(c.norm_eps > 0)) return absl::InvalidArgumentError("config.json: the norm's epsilon must be positive");
  for (const auto& layer : c.layers) {
    RETURN_IF_ERROR(check_attention(layer.attention));
    if (layer.ffns.empty()) return absl::InvalidArgumentError("config.json: a layer without a feed-forward");
    for (const auto& f : layer.ffns) RETURN_IF_ERROR(check_ffn(f));
  }
  return absl::OkStatus();
}

void add_eos(base::JsonReader& j, ModelConfig& c) {
  const auto* eos = j.find("eos_token_id");
  if (eos == nullptr) return;
  const auto ids = eos->is_array() ? j.ints("eos_token_id") : std::vector<int>{j.i("eos_token_id")};
  for (const int id : ids) {
    if (std::find(c.eos_ids.begin(), c.eos_ids.end(), id) == c.eos_ids.end()) c.eos_ids.push_back(id);
  }
}

}  // namespace

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture* a : architectures()) {
    for (const std::string_view name : a->names) names.emplace_back(name);
  }
  return names;
}

absl::StatusOr<ModelConfig> parse_config(const base::JsonValue& value) {
  base::JsonReader j(value);
  RETURN_IF_ERROR(j.status());
  const auto names = j.strings("architectures");
  RETURN_IF_ERROR(j.status());
  const Architecture* architecture = nullptr;
  for (const auto& name : names) {
    if (architecture == nullptr) architecture = find_architecture(name);
  }
  if (architecture == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("config.json: the architecture ", names.empty() ? "(none is named)" : absl::StrJoin(names, ", "),
                     " is not known; known are: ", absl::StrJoin(architecture_names(), ", ")));
  }
  if (j.has("quantization_config")) {
    return absl::UnimplementedError("config.json: quantization_config: quantised checkpoints are not built yet");
  }
  const std::string act = j.s("hidden_act", "silu");
  if (act != "silu" && act != "swish") {
    return absl::UnimplementedError(absl::StrCat("config.json: hidden_act: \"", act, "\" is not built yet; silu is"));
  }
  ModelConfig config = architecture->parse(j);
  RETURN_IF_ERROR(j.status());
  config.architecture = names[0];
  const std::string dtype = j.s("dtype", j.s("torch_dtype", "bfloat16"));
  const auto known = tensor::dtype_from_name(dtype);
  if (!known || (*known != tensor::DType::kF32 && *known != tensor::DType::kF16 && *known != tensor::DType::kBf16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: dtype \"", dtype, "\" is not float32, float16 or bfloat16"));
  }
  config.dtype = *known;
  config.bos_id = j.i("bos_token_id", -1);
  add_eos(j, config);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_config(config));
  return config;
}

absl::StatusOr<ModelConfig> read_config(const weights::ModelFiles& files) {
  ASSIGN_OR_RETURN(const base::JsonValue json, files.config());
  auto config = parse_config(json);
  if (!config.ok()) {
    return absl::Status(config.status().code(), absl::StrCat(files.path(), ": ", config.status().message()));
  }
  const auto generation = files.generation_config();
  if (absl::IsNotFound(generation.status())) return config;
  RETURN_IF_ERROR(generation.status());
  base::JsonReader j(*generation, "generation_config.json");
  add_eos(j, *config);
  RETURN_IF_ERROR(j.status());
  return config;
}

}  // namespace polymath::model
