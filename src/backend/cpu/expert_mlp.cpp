#include "backend/cpu/expert_mlp.h"

#include <algorithm>

#include "backend/cpu/matmul.h"
#include "backend/cpu/panels.h"

namespace polymath::backend::cpu {
namespace {

// Words [from, group) of each row: the padding of packed rows is 0.
void clear_rest(std::span<uint32_t> rows, int group, int from) {
  for (size_t row = 0; row < rows.size(); row += static_cast<size_t>(group)) {
    std::fill_n(rows.begin() + static_cast<std::ptrdiff_t>(row) + from, group - from, 0);
  }
}

class IntermediateRows : public RowSource {
 public:
  IntermediateRows(const uint32_t* rows, int64_t cols) : rows_(rows), cols_(cols) {}
  const void* row(const Segment& s, int i) const override { return rows_ + (s.first_row + i) * cols_; }

 private:
  const uint32_t* rows_;
  const int64_t cols_;
};

class ExpertRun : public RowSource {
 public:
  ExpertRun(Context& context, const ExpertStep& step)
      : c_(context),
        step_(step),
        mlp_(*step.mlp),
        up_(context.kernels, *mlp_.gate_up, step.x->dtype),
        down_(context.kernels, *mlp_.down, step.x->dtype) {
    const int32_t* offsets = step.groups->offsets.i32();
    int64_t n = 0;
    for (int64_t e = 0; e < up_.shape.groups; ++e) {
      n = add_segments(c_.scratch, n, {e, offsets[e], offsets[e + 1] - offsets[e]});
      if (offsets[e] < offsets[e + 1]) ++experts_;
    }
    segments_ = {c_.scratch.segments, static_cast<size_t>(n)};
    rows_ = offsets[up_.shape.groups];
    CHECK(up_.shape.glu && up_.shape.rows == 2 * down_.shape.cols && up_.shape.groups == down_.shape.groups);
    CHECK(rows_ <= c_.scratch.pairs_max && static_cast<size_t>(rows_ * up_.steps) * 4 <= c_.scratch.input_bytes &&
          static_cast<size_t>(rows_ * std::max(down_.steps, down_.shape.cols)) * 4 <= c_.scratch.inner_bytes &&
          static_cast<size_t>(rows_ * down_.steps) * 4 <= c_.scratch.input_bytes);
    CHECK(!mlp_.weight_on_input || mlp_.gate_up_bias == nullptr);
    // Rows that fit no L2 cache come from further away once for all tiles of a task.
    if (rows_ > kSegmentRows) {
      down_tiles_ = std::clamp<int64_t>(down_.tiles / (2 * c_.team.size()), 1, kDownTiles);
    }
  }

  void run() {
    if (rows_ == 0) return;
    const double weights = static_cast<double>(up_.group_bytes + down_.group_bytes) * experts_;
    const double flops = 6.0 * static_cast<double>(rows_ * up_.shape.cols * down_.shape.cols);
    const bool parallel = Context::worth_sharing(weights, flops);
    TaskRuns& gate_up_tasks = c_.team.tasks(parallel, static_cast<int64_t>(segments_.size()) * up_.tiles);
    TaskRuns& down_tasks = c_.team.more_tasks(parallel, (down_.tiles + down_tiles_ - 1) / down_tiles_);
    const PackJob pack{segments_, this, step_.x->dtype, up_.shape.cols, up_.steps, &up_.kernels, c_.scratch.input};
    c_.team.run(parallel, [&](int rank, int threads) {
      if (rank == 0) weigh_rows();
      pack_rows(c_.kernels, pack, rank, threads);
      c_.team.barrier(threads);
      gate_up_tasks.work(rank, [&](int64_t task, int64_t next) { gate_up(rank, task, next); });
      c_.team.barrier(threads);
      if (down_.kernels.int8) {
        round_intermediate(rank, threads);
        c_.team.barrier(threads);
      }
      down_tasks.work(rank, [&](int64_t task, int64_t next) { down(rank, task, next); });
    });
  }

  const void* row(const Segment& s, int i) const override {
    const Tensor& x = *step_.x;
    const int64_t token = step_.groups->pairs.i32()[s.first_row + i] / top_k();
    return x.as<std::byte>() + token * x.stride() * static_cast<int64_t>(tensor::dtype_bytes(x.dtype));
  }

 private:
  int64_t top_k() const { return step_.routing->ids.cols(); }

  void weigh_rows() {
    for (int64_t j = 0; j < rows_; ++j) {
      const int32_t pair = step_.groups->pairs.i32()[j];
      c_.scratch.row_tokens[j] = static_cast<int32_t>(pair / top_k());
      c_.scratch.row_weights[j] = step_.routing->weights.f32()[pair];
    }
  }

  const std::byte* gate_up_weights(int64_t task) const {
    return up_.tile(segments_[task / up_.tiles].group, task % up_.tiles);
  }

  void gate_up(int rank, int64_t task, int64_t next) {
    const Segment& s = segments_[task / up_.tiles];
    const int64_t tile = task % up_.tiles, first = tile * kPanel, intermediate = down_.shape.cols;
    float* sums = c_.scratch.sums[rank];
    multiply_tile({&up_, gate_up_weights(task), c_.scratch.input + s.first_row * up_.steps, s.rows,
                   next < 0 ? nullptr : gate_up_weights(next), sums});
    GluTileArgs t;
    t.n = static_cast<int>(std::min<int64_t>(kPanel, intermediate - first));
    t.glu = mlp_.glu;
    t.pairs = down_.kernels.pairs;
    if (mlp_.gate_up_bias != nullptr) {
      t.gate_bias = mlp_.gate_up_bias + s.group * 2 * intermediate + first;
      t.up_bias = t.gate_bias + intermediate;
    }
    if (down_.kernels.int8) return keep_intermediate(t, s, first, sums);
    const RowBlocks blocks(s.rows, down_.kernels.rows_max);
    const int group = down_.kernels.pack_steps, words = down_.kernels.pairs ? (t.n + 1) / 2 : t.n;
    const int64_t word = down_.kernels.pairs ? first / 2 : first;
    for (int i = 0; i < blocks.n; ++i) {
      const int64_t row = s.first_row + blocks.begin(i);
      t.acc = sums + blocks.begin(i) * kTile;
      t.m = blocks.size(i);
      t.row_scale = mlp_.weight_on_input ? c_.scratch.row_weights + row : nullptr;
      t.row_stride = group;
      t.word_stride = group == 1 ? t.m : 1;
      uint32_t* const out = c_.scratch.intermediate + row * down_.steps + word / group * group * t.m;
      const int at = static_cast<int>(word % group);
      t.out = out + at;
      c_.kernels.glu_tile(t);
      if (tile + 1 == up_.tiles) clear_rest({out, static_cast<size_t>(t.m * group)}, group, at + words);
    }
  }

  // A block of int8 is of two tiles. So rows stay in f32 until all tiles are done.
  void keep_intermediate(GluTileArgs& t, const Segment& s, int64_t first, const float* sums) {
    t.acc = sums;
    t.m = s.rows;
    t.row_scale = mlp_.weight_on_input ? c_.scratch.row_weights + s.first_row : nullptr;
    t.row_stride = static_cast<int>(down_.shape.cols);
    t.out = c_.scratch.intermediate + s.first_row * down_.shape.cols + first;
    c_.kernels.glu_tile(t);
  }

  // The experts' inputs are not needed any more, and their place is taken.
  void round_intermediate(int rank, int threads) {
    const IntermediateRows source(c_.scratch.intermediate, down_.shape.cols);
    pack_rows(c_.kernels,
              {segments_, &source, DType::kF32, down_.shape.cols, down_.steps, &down_.kernels, c_.scratch.input}, rank,
              threads);
  }

  // Tiles [begin, end) of all segments. They use a segment's rows in turn, one run of inputs after the other.
  struct DownTask {
    int64_t begin = 0, end = 0;
  };
  DownTask down_task(int64_t i) const { return {i * down_tiles_, std::min(down_.tiles, (i + 1) * down_tiles_)}; }

  void down(int rank, int64_t i, int64_t next_task) {
    const DownTask task = down_task(i);
    for (size_t segment = 0; segment < segments_.size(); ++segment) {
      const std::byte* next = segment + 1 < segments_.size() ? down_.tile(segments_[segment + 1].group, task.begin)
                              : next_task >= 0 ? down_.tile(segments_[0].group, down_task(next_task).begin)
                                               : nullptr;
      multiply_down(rank, segments_[segment], task, next);
      add_down(rank, segments_[segment], task);
    }
  }

  void multiply_down(int rank, const Segment& s, const DownTask& task, const std::byte* next) {
    const uint32_t* packed = down_.kernels.int8 ? c_.scratch.input : c_.scratch.intermediate;
    const int stride = static_cast<int>(task.end - task.begin) * kTile;
    TileJob job{.panels = &down_, .a = packed + s.first_row * down_.steps, .rows = s.rows, .sums_stride = stride};
    const int64_t run = run_blocks(down_.kernels), bytes = down_.kernels.block_bytes;
    for (int64_t block = 0; block < down_.blocks; block += run) {
      for (int64_t tile = task.begin; tile < task.end; ++tile) {
        job.w = down_.tile(s.group, tile);
        job.sums = c_.scratch.sums[rank] + (tile - task.begin) * kTile;
        job.next = tile + 1 < task.end          ? down_.tile(s.group, tile + 1) + block * bytes
                   : block + run < down_.blocks ? down_.tile(s.group, task.begin) + (block + run) * bytes
                                                : next;
        multiply_run(job, block);
      }
    }
  }

  void add_down(int rank, const Segment& s, const DownTask& task) {
    const int64_t col = task.begin * kTile, stride = (task.end - task.begin) * kTile;
    const Tensor& out = *step_.out;
    AddArgs t;
    t.n = static_cast<int>(std::min(stride, down_.shape.rows - col));
    t.bias = mlp_.down_bias == nullptr ? nullptr : mlp_.down_bias + s.group * down_.shape.rows + col;
    for (int r = 0; r < s.rows; ++r) {
      const int64_t j = s.first_row + r;
      t.acc = c_.scratch.sums[rank] + r * stride;
      t.weight = mlp_.scale * (mlp_.weight_on_input ? 1.0f : c_.scratch.row_weights[j]);
      t.out = out.f32() + c_.scratch.row_tokens[j] * out.stride() + col;
      c_.kernels.add(t);
    }
  }

  Context& c_;
  const ExpertStep& step_;
  const ExpertMlp& mlp_;
  const Panels up_, down_;
  std::span<const Segment> segments_;
  int64_t rows_ = 0, down_tiles_ = 1;  // tiles of a task
  int experts_ = 0;
};

}  // namespace

void expert_mlp(Context& context, const ExpertStep& step) { ExpertRun(context, step).run(); }

}  // namespace polymath::backend::cpu
