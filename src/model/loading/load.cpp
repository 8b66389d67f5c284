#include "model/loading/load.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "model/loading/surplus.h"
#include "model/loading/weight_store.h"
#include "model/loading/weight_table.h"
#include "model/step_memory.h"

namespace polymath::model {
namespace {

// Names listed in one message; the others are counted.
constexpr size_t kListedMax = 12;

std::string list_some(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  const size_t n = names.size();
  if (n > kListedMax) names.resize(kListedMax);
  return absl::StrCat(absl::StrJoin(names, ", "), n > kListedMax ? absl::StrCat(" and ", n - kListedMax, " more") : "");
}

}  // namespace

quant::Weight WeightStore::take(const std::string& slot) {
  const auto it = matrices_.find(slot);
  CHECK(it != matrices_.end());
  return std::move(it->second);
}

namespace {

tensor::Buffer view_of(const tensor::Buffer& buffer) {
  return {buffer.data(), buffer.bytes(), [](void*, size_t) {}};
}

}  // namespace

WeightStore WeightStore::view() const {
  WeightStore out;
  for (const auto& [slot, w] : matrices_) {
    out.matrices_.emplace(slot, quant::Weight{w.format, w.shape, view_of(w.data), view_of(w.scales), view_of(w.zeros)});
  }
  for (const auto& [slot, buffer] : vectors_) out.vectors_.emplace(slot, view_of(buffer));
  out.packed_linear_max_ = packed_linear_max_;
  return out;
}

const float* WeightStore::vector(const std::string& slot) const {
  const auto it = vectors_.find(slot);
  return it == vectors_.end() ? nullptr : static_cast<const float*>(it->second.data());
}

namespace {

using quant::QuantFormat;

// Whether a weight could hold the piece's blocks as they are.
bool whole_blocks(const PieceSource& piece, const QuantFormat& format) {
  const quant::MatrixView& view = piece.view;
  return format.plain() ||
         (view.col_stride == 1 && view.cols % format.block_cols == 0 && view.row_stride % format.block_cols == 0 &&
          piece.offset % format.block_cols == 0 && piece.row_begin % format.block_rows == 0 && !format.params());
}

// The format of all pieces of a slot; f32 where they differ or blocks would be cut.
const QuantFormat& stored_format(const weights::Checkpoint& checkpoint, const std::vector<PieceSource>& pieces) {
  const QuantFormat* common = nullptr;
  const std::string* last = nullptr;
  for (const PieceSource& piece : pieces) {
    if (last == nullptr || *last != piece.tensor) {
      const QuantFormat* format = weights::stored_format(checkpoint, piece.tensor);
      if (format == nullptr || (common != nullptr && format != common)) return quant::kF32;
      common = format;
    }
    last = &piece.tensor;
    if (!whole_blocks(piece, *common)) return quant::kF32;
  }
  return common == nullptr ? quant::kF32 : *common;
}

}  // namespace

namespace {

// Runs of rows of one stored format, in order.
struct StoredRun {
  int64_t begin = 0, end = 0;
  std::vector<PieceSource> pieces;
};

std::vector<StoredRun> stored_runs(const weights::Checkpoint& checkpoint, std::vector<PieceSource> pieces) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const auto& a, const auto& b) { return a.row_begin < b.row_begin; });
  std::vector<StoredRun> runs;
  for (PieceSource& piece : pieces) {
    const bool same = !runs.empty() && weights::stored_format(checkpoint, runs.back().pieces[0].tensor) ==
                                           weights::stored_format(checkpoint, piece.tensor);
    if (!same) runs.push_back({piece.row_begin, piece.row_begin, {}});
    runs.back().end = piece.row_begin + piece.view.rows;
    runs.back().pieces.push_back(std::move(piece));
  }
  return runs;
}

}  // namespace

absl::Status check_packing(const LoadOptions& options, const backend::Backend& backend) {
  for (const QuantFormat* format : options.pack_to) {
    if (&backend.kept_format(*format, quant::WeightUse::kLinear, options.dtype) == format) continue;
    return absl::UnimplementedError(absl::StrCat(std::string(backend.name()), " does not keep ",
                                                 std::string(format->name),
                                                 " packed, so --quantization would save nothing"));
  }
  return absl::OkStatus();
}

namespace {

// What a slot's weights are before the backend chooses: as stored, or packed to an option's format.
const QuantFormat& offered_format(const WeightPath& path, const Slot& slot, int64_t cols,
                                  const std::vector<PieceSource>& pieces) {
  const QuantFormat& stored = stored_format(path.checkpoint, pieces);
  const bool multiplied = slot.use == quant::WeightUse::kLinear || slot.use == quant::WeightUse::kExperts;
  if (!stored.plain() || !multiplied || slot.layer < 0) return stored;  // the head, too, stays as it is
  for (const QuantFormat* format : path.options.pack_to) {
    if (cols % format->block_cols == 0) return *format;
  }
  return stored;
}

}  // namespace

std::vector<WeightPart> weight_parts(const WeightPath& path, const Slot& slot, const quant::WeightShape& shape,
                                     const std::vector<PieceSource>& pieces) {
  const auto kept = [&](const std::vector<PieceSource>& some) {
    return &path.backend.kept_format(offered_format(path, slot, shape.cols, some), slot.use, path.options.dtype);
  };
  std::vector<WeightPart> parts;
  if (slot.use == quant::WeightUse::kLinear && shape.groups == 1 && !shape.glu && slot.pieces.size() > 1) {
    for (const StoredRun& run : stored_runs(path.checkpoint, pieces)) {
      quant::WeightShape of_run = shape;
      of_run.rows = run.end - run.begin;
      parts.push_back({kept(run.pieces), run.begin, of_run});
    }
  }
  const bool apart = parts.size() > 1 && std::any_of(parts.begin(), parts.end(),
                                                     [](const WeightPart& part) { return !part.format->plain(); });
  return apart ? parts : std::vector<WeightPart>{{kept(pieces), 0, shape}};
}

class WeightLoader {
 public:
  WeightLoader(const ModelConfig& config, weights::Checkpoint& checkpoint, backend::Backend& backend,
               const LoadOptions& options)
      : config_(config),
        checkpoint_(checkpoint),
        backend_(backend),
        options_(options),
        rank_(rank_of(options)),
        table_(config, checkpoint) {}

  absl::StatusOr<WeightStore> load() {
    RETURN_IF_ERROR(check_packing(options_, backend_));
    const std::vector<Slot> all = slots(config_, rank_.stage);
    plan(all);
    RETURN_IF_ERROR(check_names());
    for (size_t i = 0; i < all.size(); ++i) {
      if (i + 1 < all.size()) prefetch(i + 1);
      RETURN_IF_ERROR(all[i].is_vector() ? load_vector(all[i], sources_[i]) : load_matrix(all[i], sources_[i]));
    }
    report_converted();
    return std::move(store_);
  }

 private:
  void plan(const std::vector<Slot>& all) {
    for (const Slot& slot : all) {
      sources_.push_back(table_.pieces(slot, rank_));
      const quant::WeightShape shape = layers::local_slot(slot, rank_).shape;
      total_ += static_cast<size_t>(shape.groups * shape.rows * shape.cols);
    }
  }

  // Of the whole model, whatever this rank loads of it.
  absl::Status check_names() const {
    if (checkpoint_.tensors().empty()) return absl::OkStatus();  // makes what it is asked for
    absl::flat_hash_set<std::string> wanted;
    std::vector<std::string> missing;
    for (const Slot& slot : slots(config_)) {
      const std::string in_vain = table_.not_found(slot);
      if (!in_vain.empty()) missing.push_back(in_vain);
      for (const PieceSource& p : table_.pieces(slot)) {
        if (wanted.insert(p.tensor).second && in_vain.empty() && !checkpoint_.has(p.tensor))
          missing.push_back(p.tensor);
      }
    }
    std::vector<std::string> unused;
    for (const auto& t : checkpoint_.tensors()) {
      if (!wanted.contains(t.name) && !is_tied_head(t.name)) unused.push_back(t.name);
    }
    Surplus surplus = sort_surplus(unused, table_.prefix(), config_);
    if (checkpoint_.naming() == weights::Naming::kGguf) surplus.harmful.swap(surplus.unknown);  // its names are uniform
    if (missing.empty() && surplus.harmful.empty()) return report_surplus(surplus), absl::OkStatus();
    std::vector<std::string> left = surplus.harmful;
    if (!missing.empty()) left.insert(left.end(), surplus.unknown.begin(), surplus.unknown.end());
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint does not fit ", config_.architecture, ":",
                                                   missing.empty() ? "" : " missing: " + list_some(missing) + ";",
                                                   left.empty() ? "" : " not used: " + list_some(left) + ";"));
  }

  void report_surplus(const Surplus& surplus) const {
    if (!rank_.first() || !rank_.stage.first()) return;
    if (!surplus.known.empty()) {
      base::log_info("model", "left out of the checkpoint: ", absl::StrJoin(surplus.known, ", "));
    }
    if (!surplus.unknown.empty()) {
      base::log_warning("model", "left out of the checkpoint, though ", config_.architecture,
                        " does not know them: ", list_some(surplus.unknown));
    }
  }

  void report_converted() const {
    const auto mib = [](const QuantFormat* format, int64_t n) {
      return absl::StrFormat("%.1f MiB", static_cast<double>(format->bytes_of(n)) / (1 << 20));
    };
    for (const auto& [formats, n] : converted_) {
      const auto& [stored, kept] = formats;
      base::log_info("model", stored->name, stored->plain() ? " weights are packed to " : " weights are unpacked to ",
                     kept->name, " for ", backend_.name(), ": ", mib(kept, n), " instead of ", mib(stored, n));
    }
  }

  // A copy of the embedding: a head that differs has untied the config.
  bool is_tied_head(const std::string& name) const {
    return config_.tied_embeddings && (name == "lm_head.weight" || name.ends_with(".lm_head.weight"));
  }

  void prefetch(size_t slot) {
    const std::string* last = nullptr;
    for (const auto& p : sources_[slot]) {
      if (last == nullptr || *last != p.tensor) checkpoint_.prefetch(p.tensor);
      last = &p.tensor;
    }
  }

  absl::Status load_matrix(const Slot& slot, const std::vector<PieceSource>& pieces) {
    const quant::WeightShape shape = layers::local_slot(slot, rank_).shape;
    const auto parts = weight_parts({checkpoint_, backend_, options_}, slot, shape, pieces);
    for (size_t i = 0; i < parts.size(); ++i) {
      auto weight = backend_.make_weight(parts[i].shape, *parts[i].format);
      if (!weight.ok())
        return absl::Status(weight.status().code(), absl::StrCat(slot.name, ": ", weight.status().message()));
      std::vector<PieceSource> own;
      for (const PieceSource& p : pieces) {
        const int64_t row = p.row_begin - parts[i].row_begin;
        if (row < 0 || row >= parts[i].shape.rows) continue;
        own.push_back(p);
        own.back().row_begin = row;
      }
      RETURN_IF_ERROR(fill(own, *weight));
      store_.packed_linear_max_ =
          std::max(store_.packed_linear_max_, packed_linear_values(slot.use, parts[i].shape, *parts[i].format));
      store_.matrices_.emplace(layers::part_name(slot.name, static_cast<int>(i)), *std::move(weight));
    }
    return absl::OkStatus();
  }

  absl::Status fill(const std::vector<PieceSource>& pieces, quant::Weight& weight) {
    if (generate(pieces, weight)) return absl::OkStatus();
    return for_each_piece(pieces, [&](const PieceSource& p, const quant::MatrixView& view) {
      if (!weight.format->plain() && view.format != weight.format) {
        fill_converted(p, view, weight);
      } else {
        backend_.fill_weight(weight, p.group, p.row_begin, view);
      }
      const QuantFormat* stored = weights::stored_format(checkpoint_, p.tensor);
      if (stored != weight.format && !(stored->plain() && weight.format->plain()))
        converted_[{stored, weight.format}] += view.rows * view.cols;
    });
  }

  // Rows in the packed format that the weight is kept in: a wider one, or LoadOptions::pack_to.
  void fill_converted(const PieceSource& p, const quant::MatrixView& view, quant::Weight& weight) {
    CHECK(view.format->wider == weight.format || weight.format->quantize != nullptr);
    const auto row_bytes = static_cast<size_t>(weight.format->bytes_of(view.cols));
    std::vector<std::byte> rows(static_cast<size_t>(view.rows) * row_bytes);
    std::vector<float> values(static_cast<size_t>(view.cols));
    for (int64_t r = 0; r < view.rows; ++r) {
      std::byte* row = rows.data() + static_cast<size_t>(r) * row_bytes;
      if (view.format->wider == weight.format) {
        view.format->widen(view.row(r).data, row, view.cols);
      } else {
        view.read_row(r, 0, view.cols, values.data());
        weight.format->quantize(values.data(), row, view.cols);
      }
    }
    quant::MatrixView wide = view;
    wide.format = weight.format;
    wide.data = rows.data();
    wide.row_stride = view.cols;
    wide.col_stride = 1;
    backend_.fill_weight(weight, p.group, p.row_begin, wide);
  }

  // False: the checkpoint's values are stored, or the backend does not compute them itself.
  bool generate(const std::vector<PieceSource>& pieces, quant::Weight& weight) {
    for (const PieceSource& p : pieces) {
      const auto generator = checkpoint_.generator(p.tensor);
      if (!generator.has_value()) return false;
      const quant::GeneratedMatrix matrix{*generator,  p.offset,          p.view.rows,
                                          p.view.cols, p.view.row_stride, p.view.col_stride};
      if (!backend_.generate_weight(weight, p.group, p.row_begin, matrix)) return false;
    }
    for (const PieceSource& p : pieces) done_ += static_cast<size_t>(p.view.rows * p.view.cols);
    if (options_.progress) options_.progress(done_, total_);
    return true;
  }

  absl::Status load_vector(const Slot& slot, const std::vector<PieceSource>& pieces) {
    const quant::WeightShape shape = layers::local_slot(slot, rank_).shape;
    const int64_t n = shape.groups * shape.rows;
    std::vector<float> values(static_cast<size_t>(n));
    RETURN_IF_ERROR(for_each_piece(pieces, [&](const PieceSource& p, const quant::MatrixView& view) {
      for (int64_t r = 0; r < view.rows; ++r) {
        float& value = values[p.group * shape.rows + p.row_begin + r];
        view.read_row(r, 0, 1, &value);
        value += p.added;
      }
    }));
    ASSIGN_OR_RETURN(auto buffer, backend_.allocate(vector_bytes(shape)));
    backend_.copy_in({tensor::DType::kF32, {n}, buffer.data()}, values.data());
    store_.vectors_.emplace(slot.name, std::move(buffer));
    return absl::OkStatus();
  }

  // Reads each tensor once for the run of pieces that it holds.
  template <typename Use>
  absl::Status for_each_piece(const std::vector<PieceSource>& pieces, Use use) {
    size_t i = 0;
    while (i < pieces.size()) {
      const std::string& name = pieces[i].tensor;
      ASSIGN_OR_RETURN(const weights::RawTensor raw, checkpoint_.read(name, pieces[i].expected));
      if (raw.format == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(weights::place_of(checkpoint_, name), ": weights of type ",
                                                       std::string(tensor::dtype_name(raw.dtype)), " are not known"));
      }
      std::vector<float> unpacked;  // of a tensor whose blocks do not fit the parts of it that are needed
      for (; i < pieces.size() && pieces[i].tensor == name; ++i) {
        const QuantFormat& format = whole_blocks(pieces[i], *raw.format) ? *raw.format : quant::kF32;
        if (&format != raw.format && unpacked.empty()) unpacked = unpack(raw);
        const std::byte* data = &format == raw.format ? raw.data : reinterpret_cast<const std::byte*>(unpacked.data());
        quant::MatrixView view = pieces[i].view;
        view.format = &format;
        view.data = data + format.bytes_of(pieces[i].offset);
        use(pieces[i], view);
        done_ += static_cast<size_t>(view.rows * view.cols);
      }
      checkpoint_.release(name);
      if (options_.progress) options_.progress(done_, total_);
    }
    return absl::OkStatus();
  }

  static std::vector<float> unpack(const weights::RawTensor& raw) {
    CHECK(!raw.format->params());
    std::vector<float> values(static_cast<size_t>(raw.shape.elements()));
    raw.format->dequantize({raw.data}, 0, values.data(), raw.shape.elements());
    return values;
  }

  const ModelConfig& config_;
  weights::Checkpoint& checkpoint_;
  backend::Backend& backend_;
  const LoadOptions& options_;
  const parallel::Rank rank_;
  const WeightTable table_;
  std::vector<std::vector<PieceSource>> sources_;
  WeightStore store_;
  std::map<std::pair<const QuantFormat*, const QuantFormat*>, int64_t> converted_;  // values, by stored and kept format
  size_t done_ = 0, total_ = 0;
};

parallel::Rank rank_of(const LoadOptions& options) {
  if (options.group == nullptr) return rank_at(options, 1, 0);
  return rank_at(options, options.group->rank().size, options.group->rank().at);
}

parallel::Rank rank_at(const LoadOptions& options, int size, int at) {
  parallel::Rank rank{size, at, options.whole_experts};
  rank.stage = options.stage;
  rank.own_tokens = options.own_tokens;
  if (options.balance.has_value()) {
    rank.moves_experts = true;
    rank.redundant_experts = options.balance->n_redundant;
  }
  return rank;
}

absl::StatusOr<WeightStore> load_weights(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                         backend::Backend& backend, const LoadOptions& options) {
  return WeightLoader(config, checkpoint, backend, options).load();
}

}  // namespace polymath::model
