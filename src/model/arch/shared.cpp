#include "model/arch/shared.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "layers/config_check.h"
#include "layers/rope.h"

namespace polymath::model {
namespace {

constexpr int kLayersMax = 2048;  // more: the config is refused

}  // namespace

ModelConfig base_config(base::JsonReader& j) {
  ModelConfig c;
  c.hidden = j.i("hidden_size");
  c.vocab = j.i("vocab_size");
  c.norm_eps = static_cast<float>(j.f("rms_norm_eps"));
  c.tied_embeddings = j.b("tie_word_embeddings");
  c.positions_max = j.i("max_position_embeddings");
  const int layers = j.i("num_hidden_layers");
  if (layers < 1 || layers > kLayersMax) {
    j.complain("num_hidden_layers", absl::StrCat("must be in [1, ", kLayersMax, "]"));
    return c;
  }
  c.layers.resize(layers);
  return c;
}

GroupedQuery grouped_query_attention(base::JsonReader& j, const ModelConfig& c, RopeRules rope) {
  GroupedQuery a;
  a.n_heads = j.i("num_attention_heads");
  if (a.n_heads < 1 || a.n_heads > 65536) return j.complain("num_attention_heads", "must be in [1, 65536]"), a;
  a.n_kv_heads = j.i("num_key_value_heads", a.n_heads);
  a.head_dim = j.i("head_dim", c.hidden / a.n_heads);
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim));
  a.qkv_bias = a.out_bias = j.b("attention_bias", false);
  a.rope = parse_rope(j, a.head_dim, rope);
  return a;
}

namespace {

// Whether layer `l` has a sliding window, by the rule of the model's class.
bool slides(Windows rule, int l, int max_window_layers) {
  switch (rule) {
    case Windows::kNone:
    case Windows::kAsListed:
      return false;
    case Windows::kEvery:
      return true;
    case Windows::kFromMaxWindowLayers:
      return l >= max_window_layers;
    case Windows::kEvenBelowMaxWindowLayers:
      return l % 2 == 0 && l < max_window_layers;
    case Windows::kEven:
      return l % 2 == 0;
    case Windows::kCount:
      break;
  }
  return false;
}

// One entry a layer: "sliding_attention" or "full_attention". The config's own, or made by the rule.
std::vector<std::string> layer_types(base::JsonReader& j, const ModelConfig& c, Windows rule, bool window) {
  const bool counts = rule == Windows::kFromMaxWindowLayers || rule == Windows::kEvenBelowMaxWindowLayers;
  const int max_window_layers = counts ? j.i("max_window_layers", 0) : 0;
  std::vector<std::string> made;
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    made.emplace_back(window && slides(rule, l, max_window_layers) ? "sliding_attention" : "full_attention");
  }
  const auto own = listed_layer_types(j, c, {"sliding_attention", "full_attention"});
  if (own.empty()) return made;
  if (!window && std::find(own.begin(), own.end(), "sliding_attention") != own.end()) {
    j.complain("layer_types", "a sliding layer, but no sliding_window");
  }
  const bool class_reads_it = rule != Windows::kNone && rule != Windows::kEvery;
  if (!class_reads_it && own != made) j.complain("layer_types", "differs from what this architecture computes");
  return own;
}

}  // namespace

std::vector<std::string> listed_layer_types(base::JsonReader& j, const ModelConfig& c,
                                            std::initializer_list<std::string_view> known) {
  if (!j.has("layer_types")) return {};
  auto types = j.strings("layer_types");
  if (types.size() != c.layers.size()) {
    j.complain("layer_types", absl::StrCat("must have one entry a layer (", c.layers.size(), ")"));
    return {};
  }
  for (std::string& type : types) {
    if (type == "attention") type = "full_attention";  // the older name
    if (std::find(known.begin(), known.end(), type) != known.end()) continue;
    j.complain("layer_types", absl::StrCat("\"", type, "\" is not built for this architecture"));
  }
  return types;
}

void set_attention(base::JsonReader& j, ModelConfig& c, GroupedQuery attention, WindowRules windows) {
  const bool on = !windows.switched || j.b("use_sliding_window");
  const int own = windows.layers == Windows::kNone ? 0 : j.i("sliding_window", 0);
  const int window = on ? own : 0;
  if (window < 0) return j.complain("sliding_window", "must be positive");
  const auto types = layer_types(j, c, windows.layers, window > 0);
  const GroupedQuery full = attention;
  GroupedQuery sliding = attention;
  sliding.window = window;
  const bool any = std::find(types.begin(), types.end(), "sliding_attention") != types.end();
  if (any || has_rope_of(j, "sliding_attention")) {
    const RopeRules rules{.share = attention.rope.dims != attention.head_dim, .by_layer_type = true};
    sliding.rope = parse_rope(j, attention.head_dim, rules, "sliding_attention");
    sliding.rope.interleaved = attention.rope.interleaved;
  }
  for (size_t l = 0; l < c.layers.size(); ++l) {
    c.layers[l].attention = types[l] == "sliding_attention" ? sliding : full;
  }
}

FfnConfig dense_ffn(int intermediate) {
  FfnConfig f;
  f.role = "dense";
  f.intermediate = intermediate;
  return f;
}

FfnConfig shared_ffn(int intermediate) {
  FfnConfig f = dense_ffn(intermediate);
  f.role = "shared";
  return f;
}

int shared_width(base::JsonReader& j, std::string_view key, int64_t count, int64_t width) {
  if (count <= 0 || width <= 0) return 0;
  if (width <= layers::kWidthMax && count <= layers::kWidthMax / width) return static_cast<int>(count * width);
  return j.complain(key, "the shared experts are too wide together"), 0;
}

FfnConfig routed_ffn(std::string routing, int n_experts, int top_k, int intermediate) {
  FfnConfig f;
  f.role = "experts";
  f.routing = std::move(routing);
  f.router.n_experts = n_experts;
  f.router.top_k = top_k;
  f.intermediate = intermediate;
  return f;
}

void set_sparse_layers(base::JsonReader& j, ModelConfig& c, const std::vector<FfnConfig>& sparse) {
  const int step = std::max(1, j.i("decoder_sparse_step", 1));
  const auto dense_only = j.ints("mlp_only_layers");
  const FfnConfig dense = dense_ffn(j.i("intermediate_size"));
  for (int l = 0; l < static_cast<int>(c.layers.size()); ++l) {
    const bool is_dense = (l + 1) % step != 0 || std::find(dense_only.begin(), dense_only.end(), l) != dense_only.end();
    c.layers[l].ffns = is_dense ? std::vector<FfnConfig>{dense} : sparse;
  }
}

FfnConfig deepseek_experts(base::JsonReader& j, std::string routing) {
  FfnConfig f =
      routed_ffn(std::move(routing), j.i("n_routed_experts"), j.i("num_experts_per_tok"), j.i("moe_intermediate_size"));
  f.router.normalize = j.b("norm_topk_prob");
  f.router.weight_scale = static_cast<float>(j.f("routed_scaling_factor"));
  if (f.routing != "softmax_topk") {
    f.router.n_groups = std::max(1, j.i("n_group"));
    f.router.top_groups = std::max(1, j.i("topk_group"));
  }
  return f;
}

FfnConfig sigmoid_experts(base::JsonReader& j) {
  FfnConfig f = deepseek_experts(j, "sigmoid_group_topk");
  f.selection_bias = true;
  f.router.normalize_eps = 1e-20f;
  return f;
}

std::vector<bool> after_dense_layers(base::JsonReader& j, const ModelConfig& c) {
  const int first = j.i("first_k_dense_replace");
  std::vector<bool> sparse(c.layers.size());
  for (size_t l = 0; l < sparse.size(); ++l) sparse[l] = static_cast<int>(l) >= first;
  return sparse;
}

std::vector<bool> by_mlp_layer_types(base::JsonReader& j, const ModelConfig& c) {
  std::vector<bool> sparse = after_dense_layers(j, c);
  if (!j.has("mlp_layer_types")) return sparse;
  const auto types = j.strings("mlp_layer_types");
  if (types.size() != sparse.size()) {
    j.complain("mlp_layer_types", absl::StrCat("must have one entry a layer (", sparse.size(), ")"));
    return sparse;
  }
  for (size_t l = 0; l < sparse.size(); ++l) {
    sparse[l] = types[l] == "sparse";
    if (!sparse[l] && types[l] != "dense") j.complain("mlp_layer_types", "knows \"sparse\" and \"dense\" alone");
  }
  return sparse;
}

void set_ffns(base::JsonReader& j, ModelConfig& c, const FfnConfig& experts, const std::vector<bool>& sparse) {
  const FfnConfig dense = dense_ffn(j.i("intermediate_size"));
  const int shared = shared_width(j, "n_shared_experts", j.i("n_shared_experts"), experts.intermediate);
  for (size_t l = 0; l < c.layers.size(); ++l) {
    if (!sparse[l]) {
      c.layers[l].ffns = {dense};
      continue;
    }
    c.layers[l].ffns = {experts};
    if (shared > 0) c.layers[l].ffns.push_back(shared_ffn(shared));
  }
}

void set_rotated_windows(base::JsonReader& j, ModelConfig& c, const GroupedQuery& attention,
                         std::vector<std::string> types) {
  if (j.has("layer_types")) types = listed_layer_types(j, c, {"sliding_attention", "full_attention"});
  if (types.size() != c.layers.size()) return;
  GroupedQuery sliding = attention, full = attention;
  sliding.window = j.i("sliding_window");
  if (sliding.window < 1) j.complain("sliding_window", "must be positive");
  full.rope = {};
  for (size_t l = 0; l < types.size(); ++l) {
    c.layers[l].attention = types[l] == "sliding_attention" ? sliding : full;
  }
}

std::vector<int> per_layer(base::JsonReader& j, std::string_view key, int n_layers, int fallback) {
  const auto* value = j.find(key);
  if (value == nullptr || !value->is_array()) return std::vector<int>(n_layers, j.i(key, fallback));
  auto list = j.ints(key);
  if (static_cast<int>(list.size()) != n_layers) {
    j.complain(key, absl::StrCat("must have one entry a layer (", n_layers, ")"));
    list.resize(n_layers, fallback);
  }
  return list;
}

std::vector<WeightRow> llama_rows() {
  const std::string n = "model.layers.{l}.", a = n + "self_attn.";
  return {
      {"embed", {"model.embed_tokens.weight"}},
      {"layer.{l}.attn_norm", {n + "input_layernorm.weight"}},
      {"layer.{l}.attn_norm_bias", {n + "input_layernorm.bias"}},
      {"layer.{l}.qkv", {a + "q_proj.weight", a + "k_proj.weight", a + "v_proj.weight"}},
      {"layer.{l}.qkv_bias", {a + "q_proj.bias", a + "k_proj.bias", a + "v_proj.bias"}},
      {"layer.{l}.q_norm", {a + "q_norm.weight"}},
      {"layer.{l}.k_norm", {a + "k_norm.weight"}},
      {"layer.{l}.attn_out", {a + "o_proj.weight"}},
      {"layer.{l}.attn_out_bias", {a + "o_proj.bias"}},
      {"layer.{l}.ffn_norm", {n + "post_attention_layernorm.weight"}},
      {"layer.{l}.ffn_norm_bias", {n + "post_attention_layernorm.bias"}},
      {"final_norm", {"model.norm.weight"}},
      {"final_norm_bias", {"model.norm.bias"}},
      {"lm_head", {"lm_head.weight"}},
      {"lm_head_bias", {"lm_head.bias"}},
  };
}

void add_ffn_rows(std::vector<WeightRow>& rows, const std::string& role, const std::string& path) {
  // The slots' names are compared, not kept: rows of one table live no longer than the load.
  static const std::string* const kSlots = new std::string[]{
      "layer.{l}.experts.gate_up", "layer.{l}.experts.down",  "layer.{l}.shared.gate_up",
      "layer.{l}.shared.down",     "layer.{l}.dense.gate_up", "layer.{l}.dense.down",
  };
  const size_t at = role == "experts" ? 0 : role == "shared" ? 2 : 4;
  const std::string p = "model.layers.{l}." + path + ".";
  rows.push_back({kSlots[at], {p + "gate_proj.weight", p + "up_proj.weight"}});
  rows.push_back({kSlots[at + 1], {p + "down_proj.weight"}});
  constexpr std::string_view kEach = ".{e}";
  if (path.ends_with(kEach)) add_stacked_rows(rows, path.substr(0, path.size() - kEach.size()));
}

void add_stacked_rows(std::vector<WeightRow>& rows, const std::string& path) {
  const std::string p = "model.layers.{l}." + path + ".";
  for (const Layout layout : {Layout::kStacked, Layout::kStackedT}) {
    rows.push_back({"layer.{l}.experts.gate_up", {p + "gate_up_proj"}, layout});
    rows.push_back({"layer.{l}.experts.down", {p + "down_proj"}, layout});
  }
}

std::vector<WeightRow> deepseek_rows(const ModelConfig& c) {
  auto rows = llama_rows();
  if (std::holds_alternative<Latent>(c.layers[0].attention)) add_latent_rows(rows);
  rows.push_back({"layer.{l}.experts.router", {"model.layers.{l}.mlp.gate.weight"}});
  rows.push_back({"layer.{l}.experts.selection_bias", {"model.layers.{l}.mlp.gate.e_score_correction_bias"}});
  add_ffn_rows(rows, "dense", "mlp");
  add_ffn_rows(rows, "experts", "mlp.experts.{e}");
  add_ffn_rows(rows, "shared", "mlp.shared_experts");
  return rows;
}

void rename_row(std::vector<WeightRow>& rows, std::string_view slot, std::vector<std::string> names) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const WeightRow& r) { return r.slot == slot; });
  CHECK(row != rows.end());
  row->names = std::move(names);
}

int head_part(base::JsonReader& j, std::string_view key) {
  constexpr int kMax = 65536;
  const int elements = j.i(key);
  if (elements >= 0 && elements <= kMax) return elements;
  return j.complain(key, absl::StrCat("must be in [0, ", kMax, "]")), 0;
}

Latent latent_attention(base::JsonReader& j, RopeConfig (*rope)(base::JsonReader&, const Latent&)) {
  Latent a;
  a.n_heads = j.i("num_attention_heads");
  a.q_lora = j.i("q_lora_rank", 0);
  a.kv_lora = j.i("kv_lora_rank");
  a.nope_dim = head_part(j, "qk_nope_head_dim");
  a.value_dim = j.i("v_head_dim");
  a.rope.dims = head_part(j, "qk_rope_head_dim");
  a.rope = rope != nullptr ? rope(j, a) : parse_rope(j, a.rope.dims, {});
  a.rope.interleaved = j.b("rope_interleave", true);
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim()));
  if (a.rope.scaling != RopeScaling::kNone && a.rope.mscale_all_dim != 0) {
    const double m = layers::yarn_mscale(a.rope.factor, a.rope.mscale_all_dim);
    a.scale *= static_cast<float>(m * m);
  }
  if (j.b("attention_bias", false)) j.complain("attention_bias", "biases in latent attention are not built yet");
  return a;
}

void add_latent_rows(std::vector<WeightRow>& rows) {
  const std::string a = "model.layers.{l}.self_attn.";
  const auto add = [&](std::string_view slot, const std::string& name, Layout layout = Layout::kRows) {
    rows.push_back({slot, {a + name + ".weight"}, layout});
  };
  const auto add_with_kv_a = [&](std::string_view slot, const std::string& name) {
    rows.push_back({slot, {a + name + ".weight", a + "kv_a_proj_with_mqa.weight"}});
  };
  add_with_kv_a("layer.{l}.q_kv_a", "q_proj");
  add_with_kv_a("layer.{l}.q_a_kv_a", "q_a_proj");
  add("layer.{l}.q_a_norm", "q_a_layernorm");
  add("layer.{l}.q_b", "q_b_proj");
  add("layer.{l}.kv_a_norm", "kv_a_layernorm");
  add("layer.{l}.key_up", "kv_b_proj", Layout::kFlatT);
  add("layer.{l}.value_up", "kv_b_proj", Layout::kFlat);
}

}  // namespace polymath::model
