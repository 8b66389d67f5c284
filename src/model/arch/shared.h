#pragma once

// What most architectures' tables share. Old and new config keys are read alike: rope_theta + rope_scaling
// ({"type"} or {"rope_type"}) and rope_parameters; torch_dtype and dtype.

#include <string>
#include <vector>

#include "model/architecture.h"

namespace polymath::model {

// hidden_size, vocab_size, num_hidden_layers, rms_norm_eps, tie_word_embeddings, max_position_embeddings; layers are
// made, empty.
ModelConfig base_config(base::JsonReader& j);

// Rotary embedding of `dims` elements of a head.
RopeConfig parse_rope(base::JsonReader& j, int dims, double theta_default);

// num_attention_heads, num_key_value_heads, head_dim, attention_bias, rope.
GroupedQuery grouped_query_attention(base::JsonReader& j, const ModelConfig& c, double theta_default);

// Gives every layer this attention; sliding windows by sliding_window, layer_types, use_sliding_window.
void set_attention(base::JsonReader& j, ModelConfig& c, GroupedQuery attention);

FfnConfig dense_ffn(int intermediate);
FfnConfig shared_ffn(int intermediate);
FfnConfig routed_ffn(std::string routing, int n_experts, int top_k, int intermediate);

// `sparse` in each decoder_sparse_step-th layer; dense in the others and in those that mlp_only_layers names.
void set_sparse_layers(base::JsonReader& j, ModelConfig& c, const std::vector<FfnConfig>& sparse);

// An integer, or one a layer.
std::vector<int> per_layer(base::JsonReader& j, std::string_view key, int n_layers, int fallback);

// model.embed_tokens, model.norm, lm_head, and each layer's norms and attention in Llama's names.
std::vector<WeightRow> llama_rows();
// gate_up and down of layer.{l}.<role> at model.layers.{l}.<path>.{gate,up,down}_proj.weight. A path "x.{e}" has a
// tensor an expert; add_stacked_rows(x) follows.
void add_ffn_rows(std::vector<WeightRow>& rows, const std::string& role, const std::string& path);
// All experts of a layer, as transformers 5 saves them: model.layers.{l}.<path>.gate_up_proj [E, 2I, H] and down_proj
// [E, H, I]; or each transposed.
void add_stacked_rows(std::vector<WeightRow>& rows, const std::string& path);
// DeepSeek's multi-head latent attention.
void add_latent_rows(std::vector<WeightRow>& rows);
Latent latent_attention(base::JsonReader& j);

}  // namespace polymath::model
