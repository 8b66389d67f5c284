#pragma once

// What a model is, as data: hyper-parameters layer by layer. Made by an architecture's `parse` from config.json.

#include <cstdint>
#include <string>
#include <vector>

#include "layers/attention.h"
#include "layers/ffn_config.h"

namespace polymath::model {

using layers::AttentionConfig;
using layers::FfnConfig;
using layers::GroupedQuery;
using layers::Latent;
using layers::QkNorm;
using layers::RopeConfig;
using layers::RopeScaling;

struct LayerConfig {
  AttentionConfig attention;
  std::vector<FfnConfig> ffns;  // their outputs are added
};

struct ModelConfig {
  std::string architecture;  // "MixtralForCausalLM"
  int hidden = 0;
  int vocab = 0;
  int positions_max = 0;    // "max_position_embeddings"
  int model_len_max = 0;    // --max-model-len may not exceed it: positions_max, or what a scaled rotation reaches
  bool layer_norm = false;  // LayerNorm instead of RMSNorm
  bool norm_bias = false;
  bool post_norms = false;  // what attention and feed-forward give is normalised before it is added (AFMoE)
  float norm_eps = 1e-6f;
  bool tied_embeddings = false;
  bool lm_head_bias = false;
  float embedding_scale = 1;
  float residual_scale = 1;
  float logit_scale = 1;                       // logits are multiplied by it
  tensor::DType dtype = tensor::DType::kBf16;  // as the checkpoint says
  std::vector<LayerConfig> layers;
  std::vector<int> eos_ids;  // config.json and generation_config.json together
  int bos_id = -1;           // -1: none
  std::string left_out;      // of a multimodal config, the parts that are not served: "vision_config"; else empty

  // Rows of lm_head that stay together when a group splits it. An odd vocabulary is not split.
  int vocab_unit() const { return vocab / (vocab & -vocab); }
};

// One rank's part of a model: the config that its layers run by, those of its stage alone. kInvalidArgument: the ranks
// do not divide it.
absl::StatusOr<ModelConfig> local_config(const ModelConfig& config, parallel::Rank rank);

// kInvalidArgument: `stages`, the layers of each pipeline stage, are not the model's layers. Empty: one stage.
absl::Status check_stages(const ModelConfig& config, const std::vector<int>& stages);

}  // namespace polymath::model
