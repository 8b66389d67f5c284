#pragma once

// What most architectures' tables share. A key without a default here has one in the architecture's ConfigKeys.

#include <string>
#include <vector>

#include "model/architecture.h"

namespace polymath::model {

// hidden_size, vocab_size, num_hidden_layers, rms_norm_eps, tie_word_embeddings, max_position_embeddings; layers are
// made, empty.
ModelConfig base_config(base::JsonReader& j);

// What an architecture's class reads about its rotation.
struct RopeRules {
  bool share = false;          // partial_rotary_factor: a share of each head is rotated
  bool by_layer_type = false;  // parameters by layer type, even if the config has no layer_types
  bool alpha = false;          // Hunyuan: "dynamic" with an alpha is a fixed base, whatever the length
};

// The rotary embedding of heads of `head_dim` elements, in layers of this type.
RopeConfig parse_rope(base::JsonReader& j, int head_dim, RopeRules rules,
                      std::string_view layer_type = "full_attention");

// Whether the config has a rotation of this layer type alone.
bool has_rope_of(base::JsonReader& j, std::string_view layer_type);

// num_attention_heads, num_key_value_heads, head_dim, attention_bias, rope.
GroupedQuery grouped_query_attention(base::JsonReader& j, const ModelConfig& c, RopeRules rope = {});

// The layers with a sliding window, where layer_types does not say.
enum class Windows {
  kNone,                      // the class has no windows
  kEvery,                     // and it does not read layer_types
  kFromMaxWindowLayers,       // those from max_window_layers on
  kEvenBelowMaxWindowLayers,  // of those below max_window_layers, the 1st, 3rd, ...
  kEven,                      // the 1st, 3rd, ...
  kAsListed,                  // none
  kCount,
};

// What an architecture's class reads about its windows.
struct WindowRules {
  Windows layers = Windows::kNone;
  bool switched = false;  // use_sliding_window: false takes every window away
};

// Gives every layer this attention, with sliding windows by sliding_window and layer_types. A sliding layer may have
// its own rotation.
void set_attention(base::JsonReader& j, ModelConfig& c, GroupedQuery attention, WindowRules windows = {});

FfnConfig dense_ffn(int intermediate);
FfnConfig shared_ffn(int intermediate);
// Of `count` shared experts of this width, side by side. Wider than any layer may be: a complaint about `key`.
int shared_width(base::JsonReader& j, std::string_view key, int64_t count, int64_t width);
FfnConfig routed_ffn(std::string routing, int n_experts, int top_k, int intermediate);

// `sparse` in each decoder_sparse_step-th layer; dense in the others and in those that mlp_only_layers names.
void set_sparse_layers(base::JsonReader& j, ModelConfig& c, const std::vector<FfnConfig>& sparse);

// DeepSeek's experts: n_routed_experts, num_experts_per_tok, moe_intermediate_size, norm_topk_prob,
// routed_scaling_factor; n_group and topk_group but for softmax_topk. Tables give these keys' other names as aliases.
FfnConfig deepseek_experts(base::JsonReader& j, std::string routing);
// The same under DeepSeek-V3's routing: sigmoid, selection by a bias.
FfnConfig sigmoid_experts(base::JsonReader& j);

// Whether a layer is MoE: those from first_k_dense_replace on.
std::vector<bool> after_dense_layers(base::JsonReader& j, const ModelConfig& c);
// By mlp_layer_types ("sparse" or "dense"); absent: as above.
std::vector<bool> by_mlp_layer_types(base::JsonReader& j, const ModelConfig& c);
// Experts and n_shared_experts in the sparse layers; dense of intermediate_size in the others.
void set_ffns(base::JsonReader& j, ModelConfig& c, const FfnConfig& experts, const std::vector<bool>& sparse);

// layer_types under the names of transformers 5, one a layer; absent: empty. Complains about names not in `known`.
std::vector<std::string> listed_layer_types(base::JsonReader& j, const ModelConfig& c,
                                            std::initializer_list<std::string_view> known);

// layer_types alone: sliding layers have a window and the rotation, full ones have no positions at all. `types`: where
// the config has none.
void set_rotated_windows(base::JsonReader& j, ModelConfig& c, const GroupedQuery& attention,
                         std::vector<std::string> types);

// llama_4_scaling_beta of the rotation's parameters, from its original context on.
layers::QueryTemperature parse_temperature(base::JsonReader& j, const RopeConfig& rope);

// An integer, or one a layer.
std::vector<int> per_layer(base::JsonReader& j, std::string_view key, int n_layers, int fallback);

// model.embed_tokens, model.norm, lm_head, and each layer's norms and attention in Llama's names.
std::vector<WeightRow> llama_rows();
// gate_up and down of layer.{l}.<role> at model.layers.{l}.<path>.{gate,up,down}_proj.weight. A path "x.{e}" has a
// tensor an expert; add_stacked_rows(x) follows.
void add_ffn_rows(std::vector<WeightRow>& rows, const std::string& role, const std::string& path);
// All experts of a layer, as transformers 5 saves them, or each transposed: model.layers.{l}.<path>.
//
//     gate_up_proj  [E, 2I, H]
//     down_proj     [E, H, I]
void add_stacked_rows(std::vector<WeightRow>& rows, const std::string& path);
// llama_rows(), the latent attention's where the config has one, and those of DeepSeek's experts.
std::vector<WeightRow> deepseek_rows(const ModelConfig& c);
// Replaces the names of a slot's first row.
void rename_row(std::vector<WeightRow>& rows, std::string_view slot, std::vector<std::string> names);
// DeepSeek's multi-head latent attention.
void add_latent_rows(std::vector<WeightRow>& rows);
// Elements of a part of a head: at most 65536, so that the parts add up to an int. More: a complaint, and 0.
int head_part(base::JsonReader& j, std::string_view key);
// `rope`: reads the rotation where it is not that of qk_rope_head_dim whole elements.
Latent latent_attention(base::JsonReader& j, RopeConfig (*rope)(base::JsonReader&, const Latent&) = nullptr);

}  // namespace polymath::model
