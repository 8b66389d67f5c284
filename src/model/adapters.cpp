#include "model/adapters.h"

#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/json.h"
#include "model/architecture.h"
#include "model/loading/weight_table.h"
#include "model/slots.h"
#include "weights/checkpoint.h"

namespace polymath::model {
namespace {

constexpr AdapterLimits kLimits;

struct Adapter {
  std::string directory;
  int64_t rank = 0;
  float scale = 0;
  std::unique_ptr<weights::Checkpoint> file;
};

absl::Status unbuilt(const std::string& directory, std::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat(directory, "/adapter_config.json: ", std::string(what), " is not built yet; plain LoRA is"));
}

absl::Status check_kind(base::JsonReader& j, const std::string& directory) {
  if (j.s("peft_type", "LORA") != "LORA") return unbuilt(directory, "peft_type " + j.s("peft_type"));
  if (j.b("use_dora", false)) return unbuilt(directory, "use_dora");
  if (j.b("fan_in_fan_out", false)) return unbuilt(directory, "fan_in_fan_out");
  if (j.s("bias", "none") != "none") return unbuilt(directory, "a bias");
  for (const char* by_module : {"rank_pattern", "alpha_pattern"}) {
    const auto* pattern = j.find(by_module);
    if (pattern != nullptr && pattern->is_object() && !pattern->get_object().empty())
      return unbuilt(directory, by_module);
  }
  return absl::OkStatus();
}

absl::StatusOr<Adapter> open(const std::string& directory) {
  Adapter a;
  a.directory = directory;
  ASSIGN_OR_RETURN(const base::JsonValue json, base::read_json_file(directory + "/adapter_config.json", {}));
  base::JsonReader j(json, "adapter_config.json");
  RETURN_IF_ERROR(check_kind(j, directory));
  a.rank = j.i("r");
  const double alpha = j.f("lora_alpha", static_cast<double>(a.rank));
  const bool by_root = j.b("use_rslora", false);
  RETURN_IF_ERROR(j.status());
  if (a.rank < 1 || a.rank > kLimits.rank_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, "/adapter_config.json: r is ", a.rank, "; it must be in [1, ", kLimits.rank_max, "]"));
  }
  a.scale = static_cast<float>(alpha / (by_root ? std::sqrt(static_cast<double>(a.rank)) : a.rank));
  if (!std::isfinite(a.scale)) {
    return absl::InvalidArgumentError(absl::StrCat(directory, "/adapter_config.json: lora_alpha is not finite"));
  }
  ASSIGN_OR_RETURN(a.file, weights::open_checkpoint(directory, {}));
  return a;
}

// "model.layers.0.self_attn.q_proj.weight" -> PEFT's name of the module.
std::string module_of(const std::string& tensor) {
  return absl::StrCat("base_model.model.", tensor.substr(0, tensor.size() - std::string_view(".weight").size()));
}

// Of one slot, all adapters: A's and B's are the groups of two weights.
struct AdapterShapes {
  quant::WeightShape a, b;
  void widen(layers::AdapterLimits& limits) const {
    limits.rank_max = std::max(limits.rank_max, a.rows);
    limits.rows_max = std::max(limits.rows_max, b.rows);
  }
};

absl::StatusOr<std::vector<Adapter>> open_all(const std::vector<std::string>& directories) {
  if (directories.size() > static_cast<size_t>(kLimits.adapters_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat(directories.size(), " adapters; at most ", kLimits.adapters_max, " are loaded"));
  }
  std::vector<Adapter> adapters;
  for (const std::string& directory : directories) {
    ASSIGN_OR_RETURN(Adapter a, open(directory));
    adapters.push_back(std::move(a));
  }
  return adapters;
}

bool takes_adapters(const Slot& slot) {
  return slot.layer >= 0 && slot.use == quant::WeightUse::kLinear && slot.shape.groups == 1;
}

// f32: the additions are small, and so are these weights.
const quant::QuantFormat& kFormat = quant::kF32;

// Which slots have adapters, and the shapes of those.
class AdapterPlan {
 public:
  AdapterPlan(const ModelConfig& config, parallel::Rank rank, const std::vector<Adapter>& adapters)
      : rank_(rank), adapters_(adapters), rows_(find_architecture(config.architecture)->weights(config)) {
    for (const Adapter& a : adapters) rank_max_ = std::max(rank_max_, a.rank);
  }

  std::vector<PieceSource> pieces(const Slot& slot) const { return piece_sources(slot, first_row(rows_, slot)); }
  // Whether any adapter changes the slot.
  bool touches(const std::vector<PieceSource>& pieces) const {
    return std::any_of(pieces.begin(), pieces.end(), [this](const PieceSource& piece) {
      const std::string module = module_of(piece.tensor);
      return std::any_of(adapters_.begin(), adapters_.end(), [&](const Adapter& a) {
        return a.file->has(module + ".lora_A.weight") || a.file->has(module + ".lora_B.weight");
      });
    });
  }
  AdapterShapes shapes(const Slot& slot) const {
    const layers::LocalSlot local = layers::local_slot(slot, rank_);
    const auto n = static_cast<int64_t>(adapters_.size());
    const int64_t low = rank_max_ * static_cast<int64_t>(slot.pieces.size());
    return {.a = {n, low, local.shape.cols}, .b = {n, local.shape.rows, low}};
  }
  int64_t rank_max() const { return rank_max_; }

 private:
  const parallel::Rank rank_;
  const std::vector<Adapter>& adapters_;
  const std::vector<WeightRow> rows_;
  int64_t rank_max_ = 0;
};

}  // namespace

// Fills one slot after the other.
class AdapterLoader {
 public:
  AdapterLoader(const ModelConfig& config, backend::Backend& backend, parallel::Rank rank,
                std::vector<Adapter> adapters)
      : config_(config),
        backend_(backend),
        rank_(rank),
        adapters_(std::move(adapters)),
        plan_(config, rank, adapters_),
        used_(adapters_.size()) {}

  absl::StatusOr<AdapterSet> load() {
    for (const Slot& slot : slots(config_)) {
      if (!takes_adapters(slot)) continue;
      if (rank_.stage.has_layer(slot.layer)) {
        RETURN_IF_ERROR(load_slot(slot));
      } else {
        note_used(slot);
      }
    }
    set_.n_ = static_cast<int>(adapters_.size());
    set_.limits_.n_adapters = set_.n_;
    for (size_t i = 0; i < adapters_.size(); ++i) {
      set_.unused_.emplace_back();
      for (const auto& t : adapters_[i].file->tensors()) {
        if (!used_[i].contains(t.name)) set_.unused_.back().push_back(t.name);
      }
    }
    return std::move(set_);
  }

 private:
  // Another stage loads it.
  void note_used(const Slot& slot) {
    for (const PieceSource& piece : plan_.pieces(slot)) {
      for (auto& used : used_) {
        used.insert(module_of(piece.tensor) + ".lora_A.weight");
        used.insert(module_of(piece.tensor) + ".lora_B.weight");
      }
    }
  }

  // Matrices of one slot on the host, of all adapters: A [adapters][rank][cols], B [adapters][rows][rank].
  struct Host {
    int64_t rank = 0, rows = 0, cols = 0;
    std::vector<float> a, b;
  };

  absl::Status load_slot(const Slot& slot) {
    const layers::LocalSlot local = layers::local_slot(slot, rank_);
    const std::vector<PieceSource> pieces = plan_.pieces(slot);
    if (!plan_.touches(pieces)) return absl::OkStatus();
    const AdapterShapes shapes = plan_.shapes(slot);
    Host host{.rank = shapes.a.rows, .rows = shapes.b.rows, .cols = shapes.a.cols};
    host.a.resize(adapters_.size() * static_cast<size_t>(host.rank * host.cols));
    host.b.resize(adapters_.size() * static_cast<size_t>(host.rows * host.rank));
    std::vector<PieceOfSlot> parts;
    int64_t row_begin = 0, whole_begin = 0;
    for (size_t p = 0; p < slot.pieces.size(); ++p) {
      const auto source =
          std::find_if(pieces.begin(), pieces.end(), [&](const PieceSource& s) { return s.row_begin == whole_begin; });
      parts.push_back({p, row_begin, source->tensor, 0});
      row_begin += local.pieces[p].count;
      whole_begin += slot.pieces[p].rows;
    }
    for (size_t i = 0; i < adapters_.size(); ++i) {
      for (PieceOfSlot& part : parts) {
        part.tensor_begin = rows_in_tensor(slot, parts, part, part.piece);
        const int64_t tensor_rows = rows_in_tensor(slot, parts, part, parts.size());
        RETURN_IF_ERROR(read_piece({i, slot, local, tensor_rows}, part, host));
      }
    }
    layers::AdapterWeights w;
    ASSIGN_OR_RETURN(w.a, make(host.a, shapes.a));
    ASSIGN_OR_RETURN(w.b, make(host.b, shapes.b));
    shapes.widen(set_.limits_);
    set_.weights_.emplace(slot.name, std::move(w));
    return absl::OkStatus();
  }

  struct PieceOfSlot {
    size_t piece;
    int64_t row_begin;     // in the rank's part of the slot
    std::string tensor;    // of the model's checkpoint
    int64_t tensor_begin;  // its first row in that tensor
  };
  // What a piece is read for.
  struct Target {
    size_t adapter;
    const Slot& slot;
    const layers::LocalSlot& local;
    int64_t tensor_rows;
  };

  // Rows of the first `n` pieces that share the part's tensor.
  static int64_t rows_in_tensor(const Slot& slot, const std::vector<PieceOfSlot>& parts, const PieceOfSlot& part,
                                size_t n) {
    int64_t rows = 0;
    for (size_t p = 0; p < n; ++p) rows += parts[p].tensor == part.tensor ? slot.pieces[p].rows : 0;
    return rows;
  }

  // The low ranks of the pieces are side by side: A's rows, and the columns of B that meet them.
  absl::Status read_piece(const Target& t, const PieceOfSlot& p, Host& host) {
    Adapter& from = adapters_[t.adapter];
    const std::string module = module_of(p.tensor), name_a = module + ".lora_A.weight",
                      name_b = module + ".lora_B.weight";
    if (!from.file->has(name_a) && !from.file->has(name_b)) return absl::OkStatus();
    const int64_t cols = t.slot.shape.cols;
    ASSIGN_OR_RETURN(const std::vector<float> a, read(from, name_a, {from.rank, cols}));
    ASSIGN_OR_RETURN(const std::vector<float> b, read(from, name_b, {t.tensor_rows, from.rank}));
    used_[t.adapter].insert(name_a);
    used_[t.adapter].insert(name_b);
    const int64_t low = static_cast<int64_t>(p.piece) * plan_.rank_max();
    float* to_a = &host.a[t.adapter * static_cast<size_t>(host.rank * host.cols)];
    float* to_b = &host.b[t.adapter * static_cast<size_t>(host.rows * host.rank)];
    for (int64_t r = 0; r < from.rank; ++r) {
      const float* row = &a[static_cast<size_t>(r * cols + t.local.cols.begin)];
      std::copy(row, row + host.cols, to_a + (low + r) * host.cols);
    }
    const parallel::Slice rows = t.local.pieces[p.piece];
    for (int64_t i = 0; i < rows.count; ++i) {
      for (int64_t r = 0; r < from.rank; ++r) {
        to_b[(p.row_begin + i) * host.rank + low + r] =
            from.scale * b[static_cast<size_t>((p.tensor_begin + rows.begin + i) * from.rank + r)];
      }
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<std::vector<float>> read(Adapter& from, const std::string& name, const tensor::Shape& shape) {
    ASSIGN_OR_RETURN(const weights::RawTensor raw, from.file->read(name, shape));
    if (!raw.format->plain()) {
      return absl::InvalidArgumentError(
          absl::StrCat(weights::place_of(*from.file, name), ": an adapter is not packed"));
    }
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    raw.format->dequantize({.data = raw.data}, 0, values.data(), shape.elements());
    return values;
  }

  absl::StatusOr<quant::Weight> make(const std::vector<float>& values, const quant::WeightShape& shape) {
    ASSIGN_OR_RETURN(quant::Weight w, backend_.make_weight(shape, kFormat));
    for (int64_t g = 0; g < shape.groups; ++g) {
      const auto* data = reinterpret_cast<const std::byte*>(values.data() + g * shape.rows * shape.cols);
      backend_.fill_weight(w, g, 0, {&kFormat, data, shape.rows, shape.cols, shape.cols, 1});
    }
    return w;
  }

  const ModelConfig& config_;
  backend::Backend& backend_;
  const parallel::Rank rank_;
  std::vector<Adapter> adapters_;
  const AdapterPlan plan_;
  std::vector<absl::flat_hash_set<std::string>> used_;
  AdapterSet set_;
};

absl::StatusOr<AdapterSet> AdapterSet::load(const std::vector<std::string>& directories, const ModelConfig& config,
                                            backend::Backend& backend, parallel::Rank rank) {
  if (directories.empty()) return AdapterSet{};
  ASSIGN_OR_RETURN(std::vector<Adapter> adapters, open_all(directories));
  return AdapterLoader(config, backend, rank, std::move(adapters)).load();
}

absl::StatusOr<AdapterMemory> AdapterSet::measure(const std::vector<std::string>& directories,
                                                  const ModelConfig& config, const backend::Backend& backend,
                                                  parallel::Rank rank) {
  AdapterMemory memory;
  if (directories.empty()) return memory;
  ASSIGN_OR_RETURN(const std::vector<Adapter> adapters, open_all(directories));
  const AdapterPlan plan(config, rank, adapters);
  memory.limits.n_adapters = static_cast<int>(adapters.size());
  for (const Slot& slot : slots(config, rank.stage)) {
    if (!takes_adapters(slot) || !plan.touches(plan.pieces(slot))) continue;
    const AdapterShapes shapes = plan.shapes(slot);
    memory.bytes += backend.weight_bytes(shapes.a, kFormat) + backend.weight_bytes(shapes.b, kFormat);
    shapes.widen(memory.limits);
  }
  return memory;
}

layers::AdapterWeights AdapterSet::take(const std::string& slot) {
  const auto it = weights_.find(slot);
  return it == weights_.end() ? layers::AdapterWeights{} : std::move(it->second);
}

}  // namespace polymath::model
