#include "backend/cpu/matmul.h"

#include <algorithm>

namespace polymath::backend::cpu {
namespace {

// How far a tile that is read once prefetches, measured on Zen 4. With few rows the hardware prefetcher runs well ahead
// and ours disturbs it. There 1 KiB reaches the read bandwidth; 8 KiB loses a fifth of it. With more rows 8 KiB wins.
constexpr int kFewRows = 5;
constexpr int64_t kAheadBytesFew = 1024, kAheadBytes = 8192;

constexpr int kRowsOfCaller = 32;  // as many the caller packs alone: cheaper than to meet at a barrier

const std::byte* row_pointer(const Tensor& x, int64_t row, int64_t col) {
  return x.as<std::byte>() + (row * x.stride() + col) * static_cast<int64_t>(tensor::dtype_bytes(x.dtype));
}

class PlainRows : public RowSource {
 public:
  PlainRows(const Tensor& x, int64_t group_stride, int64_t rows_per_group)
      : x_(x), group_stride_(group_stride), rows_(rows_per_group) {}
  const void* row(const Segment& s, int i) const override {
    return row_pointer(x_, s.first_row - s.group * rows_ + i, s.group * group_stride_);
  }

 private:
  const Tensor& x_;
  const int64_t group_stride_, rows_;
};

class SortedRows : public RowSource {
 public:
  SortedRows(const Tensor& x, const GroupedLinear& input) : x_(x), input_(input) {}
  const void* row(const Segment& s, int i) const override {
    const int64_t j = s.first_row + i;
    return row_pointer(x_, input_.gather ? input_.groups->pairs.i32()[j] / input_.top_k : j, 0);
  }

 private:
  const Tensor& x_;
  const GroupedLinear& input_;
};

// Shared by the three ops: packs, then multiplies every tile of every segment. store_args says where a segment's
// results go.
template <typename F>
void multiply_segments(Context& c, const PackJob& pack, const Panels& panels, F&& store_args) {
  const int64_t n_segments = static_cast<int64_t>(pack.segments.size());
  double rows = 0, bytes = 0;
  for (const Segment& s : pack.segments) {
    rows += s.rows;
    bytes += static_cast<double>(panels.group_bytes);
  }
  const bool parallel =
      Context::worth_sharing(bytes, 2.0 * rows * static_cast<double>(panels.shape.rows * panels.shape.cols));
  const bool few = rows <= kRowsOfCaller;
  if (few) pack_rows(c.kernels, pack, 0, 1);
  TaskRuns& tasks = c.team.tasks(parallel, n_segments * panels.tiles);
  c.team.run(parallel, [&](int rank, int threads) {
    if (!few) {
      pack_rows(c.kernels, pack, rank, threads);
      c.team.barrier(threads);
    }
    float* sums = c.scratch.sums[rank];
    tasks.work(rank, [&](int64_t task, int64_t next) {
      const auto weights_of = [&](int64_t i) {
        return panels.tile(pack.segments[i / panels.tiles].group, i % panels.tiles);
      };
      const Segment& s = pack.segments[task / panels.tiles];
      multiply_tile({&panels, weights_of(task), pack.out + s.first_row * panels.steps, s.rows,
                     next < 0 ? nullptr : weights_of(next), sums});
      StoreArgs store = store_args(s);
      store.acc = sums;
      store.rows = s.rows;
      store.columns = panels.columns(task % panels.tiles);
      c.kernels.store(store);
    });
  });
}

PackJob make_pack(Context& c, std::span<const Segment> segments, const RowSource& source, const Tensor& x,
                  const Panels& panels) {
  const int64_t rows = segments.empty() ? 0 : segments.back().first_row + segments.back().rows;
  CHECK(static_cast<size_t>(rows * panels.steps) * 4 <= c.scratch.input_bytes);
  return {segments, &source, x.dtype, panels.shape.cols, panels.steps, &panels.kernels, c.scratch.input};
}

}  // namespace

void multiply_run(const TileJob& job, int64_t begin) {
  const Panels& p = *job.panels;
  const WeightKernels& weights = p.kernels;
  const RowBlocks rows(job.rows, weights.rows_max);
  const int64_t blocks = std::min(run_blocks(weights), p.blocks - begin);
  const std::byte* w = job.w + begin * weights.block_bytes;
  TileArgs t;
  t.w = &w;
  t.second = t.next_second = weights.block_bytes / 2;
  t.block_bytes = weights.block_bytes;
  t.blocks = t.segment_blocks = blocks;
  t.acc_stride = job.sums_stride;
  t.accumulate = begin > 0;
  const int64_t share = (blocks + rows.n - 1) / rows.n;  // of the next run, prefetched by each block of rows
  for (int i = 0; i < rows.n; ++i) {
    t.m = rows.size(i);
    t.a = job.a + rows.begin(i) * p.steps + begin * weights.block_steps * rows.size(i);
    t.acc = job.sums + rows.begin(i) * job.sums_stride;
    if (rows.n == 1) {
      t.ahead = (rows.size(i) <= kFewRows ? kAheadBytesFew : kAheadBytes) / weights.block_bytes;
      t.next = job.next;
    } else {
      t.cached = true;
      t.ahead = std::max<int64_t>(0, std::min(share, blocks - i * share));
      t.next = job.next == nullptr ? nullptr : job.next + i * share * weights.block_bytes;
    }
    weights.tiles[rows.size(i)](t);
  }
}

void multiply_tile(const TileJob& job) {
  const Panels& p = *job.panels;
  TileJob run = job;
  for (int64_t begin = 0, end = 0; begin < p.blocks; begin = end) {
    end = begin + run_blocks(p.kernels);
    run.next = end < p.blocks ? job.w + end * p.kernels.block_bytes : job.next;
    multiply_run(run, begin);
  }
}

void pack_rows(const Kernels& kernels, const PackJob& job, int rank, int threads) {
  int64_t block = 0;
  for (const Segment& s : job.segments) {
    const RowBlocks blocks(s.rows, job.layout->rows_max);
    for (int i = 0; i < blocks.n; ++i, ++block) {
      if (block % threads != rank) continue;
      const void* rows[kRowsMax];
      for (int r = 0; r < blocks.size(i); ++r) rows[r] = job.source->row(s, blocks.begin(i) + r);
      kernels.pack({rows, blocks.size(i), job.cols, job.from, job.layout->pairs, job.layout->int8,
                    job.layout->pack_steps, job.out + (s.first_row + blocks.begin(i)) * job.steps});
    }
  }
}

int64_t add_segments(Scratch& scratch, int64_t n, const Segment& whole) {
  for (int done = 0; done < whole.rows; done += kSegmentRows) {
    CHECK(n < scratch.segments_max);
    scratch.segments[n++] = {whole.group, whole.first_row + done, std::min(kSegmentRows, whole.rows - done)};
  }
  return n;
}

void linear(Context& c, const Tensor& x, const Weight& w, const LinearEpilogue& e, const Tensor& y) {
  const Panels panels(c.kernels, w, x.dtype);
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows && w.shape.groups == 1 && x.rows() == y.rows());
  CHECK(!e.accumulate || y.dtype == DType::kF32);
  const int64_t n = add_segments(c.scratch, 0, {0, 0, static_cast<int>(x.rows())});
  const PlainRows source(x, 0, 0);
  const PackJob pack = make_pack(c, {c.scratch.segments, static_cast<size_t>(n)}, source, x, panels);
  multiply_segments(c, pack, panels, [&](const Segment& s) {
    StoreArgs store{.bias = e.bias, .clamp = e.clamp, .scale = e.scale, .accumulate = e.accumulate, .dtype = y.dtype};
    store.y = const_cast<std::byte*>(row_pointer(y, s.first_row, 0));
    store.y_stride = y.stride();
    return store;
  });
}

void batched_linear(Context& c, const BatchedLinear& params, const Tensor& x, const Tensor& y) {
  const Weight& w = *params.w;
  const Panels panels(c.kernels, w, x.dtype);
  const int64_t rows = x.rows();
  CHECK(y.rows() == rows && (w.shape.groups - 1) * params.x_stride + w.shape.cols <= x.cols() &&
        (w.shape.groups - 1) * params.y_stride + w.shape.rows <= y.cols());
  int64_t n = 0;
  for (int64_t g = 0; g < w.shape.groups; ++g) n = add_segments(c.scratch, n, {g, g * rows, static_cast<int>(rows)});
  const PlainRows source(x, params.x_stride, rows);
  const PackJob pack = make_pack(c, {c.scratch.segments, static_cast<size_t>(n)}, source, x, panels);
  multiply_segments(c, pack, panels, [&](const Segment& s) {
    StoreArgs store{.dtype = y.dtype};
    store.y = const_cast<std::byte*>(row_pointer(y, s.first_row - s.group * rows, s.group * params.y_stride));
    store.y_stride = y.stride();
    return store;
  });
}

void grouped_linear(Context& c, const GroupedLinear& params, const Tensor& x, const Tensor& y) {
  const Weight& w = *params.w;
  const Panels panels(c.kernels, w, x.dtype);
  const int32_t* offsets = params.groups->offsets.i32();
  CHECK(x.cols() == w.shape.cols && y.cols() == w.shape.rows && y.rows() >= offsets[w.shape.groups]);
  int64_t n = 0;
  for (int64_t e = 0; e < w.shape.groups; ++e) {
    n = add_segments(c.scratch, n, {e, offsets[e], offsets[e + 1] - offsets[e]});
  }
  const SortedRows source(x, params);
  const PackJob pack = make_pack(c, {c.scratch.segments, static_cast<size_t>(n)}, source, x, panels);
  multiply_segments(c, pack, panels, [&](const Segment& s) {
    StoreArgs store{.bias = params.bias == nullptr ? nullptr : params.bias + s.group * w.shape.rows, .dtype = y.dtype};
    store.y = const_cast<std::byte*>(row_pointer(y, s.first_row, 0));
    store.y_stride = y.stride();
    return store;
  });
}

}  // namespace polymath::backend::cpu
