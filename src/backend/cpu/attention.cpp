#include "backend/cpu/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "backend/cpu/kv.h"
#include "backend/cpu/matmul.h"

namespace polymath::backend::cpu {
namespace {

// Rows of one sequence and kv head. Row r is the sequence's query r / group, for head r % group of the kv head.
struct Task {
  int seq = 0;
  int64_t kv_head = 0;
  int64_t first_row = 0;
  int rows = 0;
};

class AttentionRun {
 public:
  AttentionRun(Context& context, const AttentionStep& step)
      : c_(context),
        step_(step),
        p_(*step.params),
        layout_(*step.layout),
        kv_(step.kv->shape),
        weights_(context.kernels.cache_of(step.kv->shape.dtype)),
        query_steps_(weights_.packed_steps(step.kv->shape.key_dim)) {
    const KvShape& s = kv_.shape;
    CHECK(p_.n_heads % s.n_kv_heads == 0 && s.key_dim <= c_.scratch.key_dim_max &&
          s.value_dim <= c_.scratch.value_dim_max && layout_.n_seqs <= c_.scratch.seqs_max);
    CHECK(step.q->cols() == static_cast<int64_t>(p_.n_heads) * s.key_dim &&
          step.out->cols() == static_cast<int64_t>(p_.n_heads) * s.value_dim);
    group_ = p_.n_heads / s.n_kv_heads;
    run_tokens_ = kRunTokens / s.block_size * s.block_size;
    first_step_ = std::lcm(s.block_size, int64_t{weights_.pack_steps} * (kv_.pairs ? 2 : 1));
    out_stride_ = round_up(s.value_dim, kTile);
  }

  void run() {
    double flops = 0;
    for (int seq = 0; seq < layout_.n_seqs; ++seq) {
      flops += 2.0 * static_cast<double>(rows_of(seq)) * kv_.shape.n_kv_heads * layout_.kv_len.i32()[seq] *
               (kv_.shape.key_dim + kv_.shape.value_dim);
    }
    const bool parallel = Context::worth_sharing(flops, flops);
    task_rows_ = kTaskRows;
    int64_t n = make_tasks();
    const int least = weights_.rows_max;
    while (parallel && n < 4 * c_.team.size() && task_rows_ > least) {
      task_rows_ = std::max(least, task_rows_ / 2 / least * least);
      n = make_tasks();
    }
    TaskRuns& tasks = c_.team.tasks(parallel, n);
    c_.team.run(parallel, [&](int rank, int) {
      tasks.work(rank, [&](int64_t i, int64_t next) { attend(rank, task(i), next); });
    });
  }

 private:
  int64_t rows_of(int seq) const {
    const int32_t* start = layout_.query_start.i32();
    return static_cast<int64_t>(start[seq + 1] - start[seq]) * group_;
  }
  int64_t pieces(int seq) const { return (rows_of(seq) + task_rows_ - 1) / task_rows_; }

  int64_t make_tasks() {
    int64_t n = 0;
    for (int seq = 0; seq < layout_.n_seqs; ++seq) {
      c_.scratch.seq_tasks[seq] = n;
      n += pieces(seq) * kv_.shape.n_kv_heads;
    }
    c_.scratch.seq_tasks[layout_.n_seqs] = n;
    return n;
  }

  Task task(int64_t i) const {
    const int64_t* first = c_.scratch.seq_tasks;
    const int seq = static_cast<int>(std::upper_bound(first, first + layout_.n_seqs + 1, i) - first) - 1;
    const int64_t n = pieces(seq), rows = rows_of(seq), piece = n - 1 - (i - first[seq]) % n;  // the longest first
    const int64_t begin = rows * piece / n, end = rows * (piece + 1) / n;
    return {seq, (i - first[seq]) / n, begin, static_cast<int>(end - begin)};
  }

  // What a row may see, and its running softmax.
  struct RowState {
    int64_t begin = 0, end = 0;
    float max = 0, sum = 0;
  };

  // Keys [at, stop) of a sequence and kv head, multiplied together.
  struct KeyRun {
    int64_t at = 0, stop = 0;
    int panels = 0;
    const std::byte* keys[kRunTokens / kPanel];    // each panel
    const std::byte* values[kRunTokens / kPanel];  // each block
    const std::byte* scales[kRunTokens / kPanel];  // the same, of a packed cache
  };

  // The run from `at`, a multiple of the block size. Its end is the same for every row.
  KeyRun key_run(const Task& t, int64_t at, int64_t end) const {
    const int32_t* table = layout_.block_table.i32() + t.seq * layout_.block_table.cols();
    const std::byte* data = static_cast<const std::byte*>(step_.kv->data);
    const int64_t block_size = kv_.shape.block_size;
    KeyRun run;
    run.at = at;
    run.stop = std::min(end, (at / run_tokens_ + 1) * run_tokens_);
    for (int64_t token = at; token < run.stop; token += kPanel) {
      const std::byte* block = data + table[token / block_size] * kv_.block_bytes;
      run.keys[run.panels++] = block + kv_.key_offset(t.kv_head, token % block_size);
      if (token % block_size != 0) continue;
      run.values[(token - at) / block_size] = block + kv_.value_offset(t.kv_head);
      run.scales[(token - at) / block_size] = block + kv_.scale_offset(t.kv_head);
    }
    return run;
  }
  KeyRun first_run(const Task& t) const {  // skips the blocks before the first key that a row sees
    int64_t begin = std::numeric_limits<int64_t>::max(), end = 0;
    for (int r = 0; r < t.rows; ++r) {
      const RowState row = start_row(t, r);
      begin = std::min(begin, row.begin);
      end = std::max(end, row.end);
    }
    const int64_t run = begin / run_tokens_ * run_tokens_;
    return key_run(t, run + (begin - run) / first_step_ * first_step_, end);
  }

  void attend(int rank, const Task& t, int64_t next_task) {
    const AttentionScratch& scratch = c_.scratch.attention[rank];
    RowState rows[kTaskRows];
    int64_t end = 0;
    for (int r = 0; r < t.rows; ++r) {
      rows[r] = start_row(t, r);
      end = std::max(end, rows[r].end);
    }
    pack_queries(t, scratch);
    std::fill_n(scratch.out, t.rows * out_stride_, 0.0f);
    KeyRun run = first_run(t);
    while (run.at < end) {
      KeyRun next;
      if (run.stop < end) {
        next = key_run(t, run.stop, end);
      } else {
        if (next_task >= 0) next = first_run(task(next_task));
        next.at = end;
      }
      if (kv_.packed) unpack(scratch, run);
      score(t, scratch, run);
      weigh(t, scratch, rows, run);
      if (kv_.shape.latent) {
        const auto n = static_cast<int>(run.stop - run.at);
        transpose_latent(kv_, {run.keys, static_cast<size_t>(run.panels)}, n, scratch.values);
        run.values[0] = scratch.values;
      }
      sum_values(t, scratch, run, next);
      run = next;
    }
    for (int r = 0; r < t.rows; ++r) {
      const Row from{scratch.out + r * out_stride_, DType::kF32};
      c_.kernels.scale(from, out_row(t, r), kv_.shape.value_dim, 1.0f / rows[r].sum);
    }
  }

  // Panels of a packed cache as bf16. Scores and probabilities take the scales.
  void unpack(const AttentionScratch& scratch, KeyRun& run) const {
    const auto panel = [&](const std::byte*& codes, int64_t n, std::byte*& to) {
      c_.kernels.unpack_kv(kv_.shape.packing, codes, n, reinterpret_cast<uint16_t*>(to));
      codes = std::exchange(to, to + 2 * n);
    };
    const KvShape& s = kv_.shape;
    std::byte* to = scratch.unpacked;
    for (int i = 0; i < run.panels; ++i) panel(run.keys[i], kv_.key_panel_bytes, to);
    const int64_t blocks = (run.panels * kPanel + s.block_size - 1) / s.block_size;
    const auto bytes = static_cast<size_t>(s.block_size) * sizeof(float);
    for (int64_t b = 0; b < blocks; ++b) {
      std::memcpy(scratch.key_scales + b * s.block_size, run.scales[b], bytes);
      if (s.latent) continue;
      std::memcpy(scratch.value_scales + b * s.block_size, run.scales[b] + bytes, bytes);
      panel(run.values[b], kv_.value_panels * kv_.value_panel_bytes, to);
    }
  }

  int64_t query(const Task& t, int r) const { return layout_.query_start.i32()[t.seq] + (t.first_row + r) / group_; }
  int64_t head(const Task& t, int r) const { return t.kv_head * group_ + (t.first_row + r) % group_; }

  RowState start_row(const Task& t, int r) const {
    const int64_t position = layout_.positions.i32()[query(t, r)];
    RowState row{0, position + 1, -std::numeric_limits<float>::infinity(), 0};
    if (p_.window > 0) row.begin = std::max<int64_t>(row.begin, position - p_.window + 1);
    if (p_.chunk > 0) row.begin = std::max<int64_t>(row.begin, position - position % p_.chunk);
    if (p_.sinks != nullptr) {
      row.max = p_.sinks[head(t, r)];
      row.sum = 1;
    }
    return row;
  }

  Row out_row(const Task& t, int r) const {
    const Tensor& out = *step_.out;
    const int64_t at = query(t, r) * out.stride() + head(t, r) * kv_.shape.value_dim;
    return {out.as<std::byte>() + at * static_cast<int64_t>(tensor::dtype_bytes(out.dtype)), out.dtype};
  }

  void pack_queries(const Task& t, const AttentionScratch& scratch) {
    const Tensor& q = *step_.q;
    const RowBlocks blocks(t.rows, weights_.rows_max);
    for (int i = 0; i < blocks.n; ++i) {
      const void* from[kCacheRowsMax];
      for (int r = 0; r < blocks.size(i); ++r) {
        const int row = blocks.begin(i) + r;
        from[r] = q.as<std::byte>() + (query(t, row) * q.stride() + head(t, row) * kv_.shape.key_dim) *
                                          static_cast<int64_t>(tensor::dtype_bytes(q.dtype));
      }
      c_.kernels.pack({from, blocks.size(i), kv_.shape.key_dim, q.dtype, kv_.pairs, /*int8=*/false, weights_.pack_steps,
                       scratch.queries + blocks.begin(i) * query_steps_});
    }
  }

  // With the last block of rows, a tile prefetches the values of its keys.
  void score(const Task& t, const AttentionScratch& scratch, const KeyRun& run) {
    const RowBlocks blocks(t.rows, weights_.rows_max);
    for (int panel = 0; panel < run.panels; panel += 2) {
      const std::byte* w = run.keys[panel];
      TileArgs a;
      a.w = &w;
      a.second = panel + 1 < run.panels ? run.keys[panel + 1] - w : 0;  // 0: the first again; those scores are not read
      a.block_bytes = kPanelStep;
      a.blocks = a.segment_blocks = kv_.key_steps;
      a.acc_stride = kProbStride;
      for (int i = 0; i < blocks.n; ++i) {
        a.m = blocks.size(i);
        a.a = scratch.queries + blocks.begin(i) * query_steps_;
        a.acc = scratch.scores + blocks.begin(i) * kProbStride + panel * kPanel;
        if (i + 1 == blocks.n && !kv_.shape.latent && !kv_.packed && kv_.shape.block_size == kPanel) {
          a.ahead = a.blocks;
          a.next = run.values[panel];
          a.next_second = panel + 1 < run.panels ? run.values[panel + 1] - a.next : 0;
        }
        weights_.tiles[blocks.size(i)](a);
      }
    }
  }

  // Turns scores into probabilities. Sums so far are scaled to the new maximum.
  void weigh(const Task& t, const AttentionScratch& scratch, RowState* rows, const KeyRun& run) {
    const int64_t at = run.at, n = run.stop - run.at;
    SoftmaxArgs s;
    s.n = static_cast<int>(round_up(n, kTile));
    s.scale = p_.scale;
    s.pairs = kv_.pairs;
    if (kv_.packed) {
      s.key_scales = scratch.key_scales;
      s.value_scales = kv_.shape.latent ? scratch.key_scales : scratch.value_scales;
    }
    for (int r = 0; r < t.rows; ++r) {
      s.scores = scratch.scores + r * kProbStride;
      s.begin = static_cast<int>(std::clamp<int64_t>(rows[r].begin - at, 0, s.n));
      s.end = static_cast<int>(std::clamp<int64_t>(rows[r].end - at, 0, n));
      s.max = rows[r].max;
      s.sum = rows[r].sum;
      const float factor = c_.kernels.softmax(s);
      rows[r].max = s.max;
      rows[r].sum = s.sum;
      const Row out{scratch.out + r * out_stride_, DType::kF32};
      if (factor != 1) c_.kernels.scale(out, out, out_stride_, factor);
    }
  }

  // Prefetches a share of a run's keys into the L2 cache.
  void prefetch_keys(const KeyRun& run, int64_t share, int64_t shares) const {
    const int64_t begin = kv_.key_panel_bytes * share / shares, end = kv_.key_panel_bytes * (share + 1) / shares;
    for (int i = 0; i < run.panels; ++i) {
      for (int64_t line = begin; line < end; line += 64) __builtin_prefetch(run.keys[i] + line, 0, 2);
    }
  }

  void sum_values(const Task& t, const AttentionScratch& scratch, const KeyRun& run, const KeyRun& next) {
    const RowBlocks blocks(t.rows, weights_.rows_max);
    const int per_step = kv_.pairs ? 2 : 1;
    TileArgs a;
    a.w = run.values;
    a.block_bytes = kPanelStep;
    a.blocks = (run.stop - run.at + per_step - 1) / per_step;
    a.segment_blocks = kv_.shape.latent ? kRunTokens / per_step : kv_.block_steps;
    a.acc_stride = out_stride_;
    a.accumulate = true;
    const int64_t panel_bytes = a.segment_blocks * kPanelStep;
    for (int64_t panel = 0; panel < kv_.value_panels; panel += 2) {
      prefetch_keys(next, panel / 2, (kv_.value_panels + 1) / 2);
      a.offset = panel * panel_bytes;
      a.second = panel + 1 < kv_.value_panels ? panel_bytes : 0;
      for (int i = 0; i < blocks.n; ++i) {
        a.m = blocks.size(i);
        a.a = reinterpret_cast<const uint32_t*>(scratch.scores) + blocks.begin(i) * kProbStride;
        a.acc = scratch.out + blocks.begin(i) * out_stride_ + panel * kPanel;
        weights_.prob_tiles[blocks.size(i)](a);
      }
    }
  }

  Context& c_;
  const AttentionStep& step_;
  const AttentionParams& p_;
  const StepLayout& layout_;
  const KvPanels kv_;
  const WeightKernels& weights_;  // of the cache's type
  const int64_t query_steps_;     // words of a packed query
  int64_t group_ = 1, run_tokens_ = kRunTokens, out_stride_ = 0;
  int64_t first_step_ = 1;  // a run begins at a multiple of it, so that tokens are summed in the same groups
  int task_rows_ = kTaskRows;
};

}  // namespace

void attention(Context& context, const AttentionStep& step) { AttentionRun(context, step).run(); }

}  // namespace polymath::backend::cpu
