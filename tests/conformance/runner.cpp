#include "runner.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "model/nodes/follower.h"
#include "model/nodes/node_links.h"
#include "model/rank_group.h"

namespace polymath::conformance {
namespace {

constexpr int kModelLen = 256;

// POLYMATH_SOURCE_DIR overrides the build's path: the binary may run on another machine.
std::string source_directory() {
  const char* given = std::getenv("POLYMATH_SOURCE_DIR");
  return given != nullptr ? given : POLYMATH_SOURCE_DIR;
}

const std::string kModels = source_directory() + "/tests/conformance/data/models/";

template <typename T>
absl::Status read_all(weights::Checkpoint& file, const std::string& name, std::vector<T>& out) {
  for (const auto& info : file.tensors()) {
    if (info.name != name) continue;
    ASSIGN_OR_RETURN(const auto raw, file.read(name, info.shape));
    out.resize(static_cast<size_t>(info.shape.elements()));
    std::memcpy(out.data(), raw.data, info.bytes);
    return absl::OkStatus();
  }
  return absl::NotFoundError(name);
}

absl::StatusOr<std::unique_ptr<backend::Backend>> make_backend(const RunnerOptions& options, int rank) {
  return backend::make_backend(options.backend,
                               {options.threads / (options.ranks * options.stages), options.isa, rank});
}

backend::KvType kv_type(const RunnerOptions& options) {
  return {options.dtype == tensor::DType::kBf16 ? tensor::DType::kBf16 : tensor::DType::kF32, {}};
}

// REQUIRES: no more stages than layers.
model::LoadOptions load_options(const model::ModelConfig& config, const RunnerOptions& options) {
  const int n_layers = static_cast<int>(config.layers.size());
  return {.dtype = options.dtype,
          .pack_to = options.pack_to,
          .model_len = kModelLen,
          .whole_experts = options.whole_experts,
          .balance = options.balance,
          .stages = options.stages > 1 ? parallel::even_stages(n_layers, options.stages) : std::vector<int>{},
          .nodes = options.nodes,
          .adapters = options.adapters};
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kModels)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::string model_directory(const std::string& name) { return kModels + name; }

absl::StatusOr<std::vector<Reference>> read_references(const std::string& name, int vocab) {
  std::ifstream in(kModels + name + "/reference.safetensors", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  ASSIGN_OR_RETURN(auto file, weights::parse_safetensors(std::as_bytes(std::span(bytes)), {}));
  std::vector<Reference> out(3);
  for (int i = 0; i < 3; ++i) {
    const std::string p = absl::StrCat("prompt", i, ".");
    Reference& r = out[i];
    RETURN_IF_ERROR(read_all(*file, p + "ids", r.ids));
    RETURN_IF_ERROR(read_all(*file, p + "argmax", r.argmax));
    RETURN_IF_ERROR(read_all(*file, p + "greedy", r.greedy));
    RETURN_IF_ERROR(read_all(*file, p + "logits", r.logits));
    RETURN_IF_ERROR(read_all(*file, p + "margin", r.margin));
    r.logit_rows = static_cast<int>(r.logits.size()) / vocab;
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Runner>> Runner::create(const std::string& path, const RunnerOptions& options) {
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(path));
  ASSIGN_OR_RETURN(model::ModelConfig config, model::read_config(*files));
  ASSIGN_OR_RETURN(const auto checkpoint, files->open_checkpoint());
  RETURN_IF_ERROR(model::untie_stored_head(*checkpoint, config));
  return create(config, *checkpoint, options);
}

absl::StatusOr<std::unique_ptr<Runner>> Runner::create(const model::ModelConfig& config,
                                                       weights::Checkpoint& checkpoint, const RunnerOptions& options) {
  std::unique_ptr<Runner> r(new Runner);
  r->options_ = options;
  const int ranks = options.ranks * options.stages;
  const int first = options.nodes != nullptr ? model::rank_of_node(0, options.stages, ranks) : 0;
  std::vector<backend::Backend*> backends(static_cast<size_t>(ranks), nullptr);
  for (int rank = first; rank < (options.nodes != nullptr ? first + 1 : ranks); ++rank) {
    ASSIGN_OR_RETURN(auto backend, make_backend(options, rank));
    backends[static_cast<size_t>(rank)] = backend.get();
    r->backends_.push_back(std::move(backend));
  }
  r->backends_.front()->use_on_this_thread();
  if (options.stages > static_cast<int>(config.layers.size())) {
    return absl::InvalidArgumentError("fewer layers than stages");
  }
  const model::LoadOptions load = load_options(config, options);
  r->blocks_per_sequence_ = (kModelLen + options.block_size - 1) / options.block_size;
  const plan::PlanRequest request{.step = {.tokens_max = kModelLen * kSequencesMax,
                                           .seqs_max = kSequencesMax,
                                           .blocks_max = r->blocks_per_sequence_},
                                  .cache = {.block_size = options.block_size,
                                            .type = kv_type(options),
                                            .n_blocks = int64_t{kSequencesMax} * r->blocks_per_sequence_},
                                  .model_len = kModelLen,
                                  .snapshots = false,
                                  .kv_bytes = int64_t{1} << 40};
  std::vector<const backend::Backend*> planned(backends.begin(), backends.end());
  std::replace(planned.begin(), planned.end(), static_cast<const backend::Backend*>(nullptr),
               static_cast<const backend::Backend*>(r->backends_.front().get()));
  ASSIGN_OR_RETURN(const auto planner, plan::Planner::create({config, checkpoint, load}, planned));
  r->plan_ = planner.plan(request);
  ASSIGN_OR_RETURN(r->model_, model::RankGroup::load(config, checkpoint, backends, load));
  RETURN_IF_ERROR(r->model_->reserve(request.step));
  RETURN_IF_ERROR(r->model_->make_cache(r->plan_.cache_options(request.cache)));
  RETURN_IF_ERROR(r->check_memory());
  return r;
}

absl::Status Runner::follow(const std::string& path, const RunnerOptions& options) {
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(path));
  ASSIGN_OR_RETURN(model::ModelConfig config, model::read_config(*files));
  ASSIGN_OR_RETURN(const auto checkpoint, files->open_checkpoint());
  RETURN_IF_ERROR(model::untie_stored_head(*checkpoint, config));
  ASSIGN_OR_RETURN(const auto backend, make_backend(options, options.nodes->at()));
  const model::LoadOptions load = load_options(config, options);
  return model::follow_node({config, *checkpoint, *backend, load}, kv_type(options), [] {});
}

absl::Status Runner::check_memory() const {
  const auto weights = static_cast<int64_t>(model_->weight_bytes()),
             scratch = static_cast<int64_t>(model_->scratch_bytes()), kv = static_cast<int64_t>(model_->kv_bytes());
  if (weights == plan_.weights && scratch == plan_.scratch && kv == plan_.kv_cache()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("bytes of weights, scratch and KV: planned ", plan_.weights, ", ",
                                          plan_.scratch, ", ", plan_.kv_cache(), "; allocated ", weights, ", ", scratch,
                                          ", ", kv));
}

absl::StatusOr<std::vector<float>> Runner::step(std::vector<Sequence*> sequences, int chunk) {
  std::vector<int32_t> tokens, positions, slots, starts = {0}, lens, table, rows, state_slots, adapters;
  std::vector<kvcache::StateCopy> cleared;
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence& s = *sequences[i];
    const int left = static_cast<int>(s.tokens.size()) - s.computed, n = chunk > 0 ? std::min(chunk, left) : left;
    // Scattered: code must not rely on the blocks' order.
    const auto block = [&](int b) {
      return (b * kSequencesMax + static_cast<int>(i)) * 7 % (kSequencesMax * blocks_per_sequence_);
    };
    for (int t = s.computed; t < s.computed + n; ++t) {
      tokens.push_back(s.tokens[t]);
      positions.push_back(t);
      slots.push_back(block(t / options_.block_size) * options_.block_size + t % options_.block_size);
      rows.push_back(static_cast<int32_t>(rows.size()));
    }
    if (model_->has_state()) state_slots.push_back(static_cast<int32_t>(i));
    if (model_->has_state() && s.computed == 0) cleared.push_back({-1, static_cast<int32_t>(i)});
    if (!options_.adapters.empty()) adapters.push_back(s.adapter);
    s.computed += n;
    starts.push_back(static_cast<int32_t>(tokens.size()));
    lens.push_back(s.computed);
    for (int b = 0; b < blocks_per_sequence_; ++b) table.push_back(block(b));
  }
  ASSIGN_OR_RETURN(const tensor::Tensor logits, model_->forward({.tokens = tokens,
                                                                 .positions = positions,
                                                                 .slots = slots,
                                                                 .query_start = starts,
                                                                 .kv_len = lens,
                                                                 .block_table = table,
                                                                 .block_table_width = blocks_per_sequence_,
                                                                 .logit_rows = rows,
                                                                 .state_slots = state_slots,
                                                                 .state_copies = cleared,
                                                                 .adapters = adapters}));
  return std::vector<float>(logits.f32(), logits.f32() + logits.shape.elements());
}

}  // namespace polymath::conformance
