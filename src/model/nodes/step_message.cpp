#include "model/nodes/step_message.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace polymath::model {
namespace {

constexpr uint32_t kArrayMax = 16 << 20;                      // elements of one array of a step; more: refused
constexpr uint32_t kLayersMax = 4096, kExpertsMax = 1 << 16;  // more: the message is refused

class Writer {
 public:
  explicit Writer(MessageBytes& out) : out_(out) { out_.clear(); }
  template <typename T>
  void value(const T& v) {
    const auto bytes = std::as_bytes(std::span(&v, 1));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  template <typename T>
  void array(std::span<const T> values) {
    value(static_cast<uint32_t>(values.size()));
    const auto bytes = std::as_bytes(values);
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

 private:
  MessageBytes& out_;
};

// After a failure every value is empty; end() says so.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <typename T>
  T value() {
    T v{};
    take(&v, sizeof(v));
    return v;
  }
  template <typename T>
  void array(std::vector<T>& values, uint32_t most) {
    const auto n = value<uint32_t>();
    ok_ &= n <= most && n * sizeof(T) <= rest_.size();
    values.resize(ok_ ? n : 0);
    take(values.data(), values.size() * sizeof(T));
  }
  bool ok() const { return ok_; }
  absl::Status end() const {
    return ok_ && rest_.empty() ? absl::OkStatus() : absl::InvalidArgumentError("the message is of a wrong size");
  }

 private:
  void take(void* to, size_t bytes) {
    ok_ &= bytes <= rest_.size();
    if (!ok_ || bytes == 0) return;
    std::memcpy(to, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
  }
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

absl::Status wrong(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("a step from node 0: ", what, " out of bounds"));
}

bool all_in(std::span<const int32_t> values, int64_t least, int64_t end) {
  return std::all_of(values.begin(), values.end(), [&](int32_t v) { return v >= least && v < end; });
}

bool ascending(std::span<const int32_t> values) {
  return std::adjacent_find(values.begin(), values.end(), std::greater_equal<>()) == values.end();
}

bool copies_in(std::span<const StateCopy> copies, int least, int n_slots) {
  return std::all_of(copies.begin(), copies.end(), [&](const StateCopy& c) {
    return c.from >= least && c.from < n_slots && c.to >= 0 && c.to < n_slots;
  });
}

absl::Status check_sizes(const Batch& b, const StepBounds& bounds) {
  const auto tokens = b.tokens.size(), seqs = b.kv_len.size();
  if (tokens < 1 || tokens > static_cast<size_t>(bounds.step.tokens_max)) return wrong("the number of tokens is");
  if (seqs < 1 || seqs > static_cast<size_t>(bounds.step.seqs_max)) return wrong("the number of sequences is");
  if (b.block_table_width < 1 || b.block_table_width > bounds.step.blocks_max) return wrong("the block table is");
  const int logits = bounds.step.logit_rows_max > 0 ? bounds.step.logit_rows_max : bounds.step.tokens_max;
  if (b.logit_rows.size() > static_cast<size_t>(logits)) return wrong("the number of logits is");
  const auto is_one_of = [](size_t n, size_t a, size_t b) { return n == a || n == b; };
  const bool fits = b.positions.size() == tokens && b.slots.size() == tokens && b.query_start.size() == seqs + 1 &&
                    b.block_table.size() == seqs * static_cast<size_t>(b.block_table_width) &&
                    is_one_of(b.adapters.size(), 0, bounds.n_adapters > 0 ? seqs : 0) &&
                    b.state_slots.size() == (bounds.n_state_slots > 0 ? seqs : 0) && b.token_rows.empty() &&
                    b.sampling.empty() && b.host_rows.empty();
  return fits ? absl::OkStatus() : wrong("the size of an array is");
}

}  // namespace

absl::Status check_step(const Batch& b, const StepBounds& bounds) {
  RETURN_IF_ERROR(check_sizes(b, bounds));
  const auto n_tokens = static_cast<int64_t>(b.tokens.size());
  if (!all_in(b.tokens, 0, bounds.vocab)) return wrong("a token is");
  if (!all_in(b.positions, 0, bounds.positions)) return wrong("a position is");
  if (!all_in(b.slots, 0, bounds.n_blocks * bounds.block_size)) return wrong("a slot is");
  if (!all_in(b.block_table, 0, bounds.n_blocks)) return wrong("a block is");
  const bool starts = b.query_start.front() == 0 && b.query_start.back() == n_tokens && ascending(b.query_start);
  if (!starts) return wrong("the start of a sequence is");
  const int64_t keys_max = int64_t{b.block_table_width} * bounds.block_size;
  for (size_t s = 0; s < b.kv_len.size(); ++s) {
    const int32_t queries = b.query_start[s + 1] - b.query_start[s];
    if (b.kv_len[s] < queries || b.kv_len[s] > keys_max) return wrong("the length of a sequence is");
  }
  if (!all_in(b.logit_rows, 0, n_tokens) || !ascending(b.logit_rows)) return wrong("a row of logits is");
  if (!all_in(b.adapters, -1, bounds.n_adapters)) return wrong("an adapter is");
  if (!all_in(b.state_slots, 0, bounds.n_state_slots) || !copies_in(b.state_copies, -1, bounds.n_state_slots) ||
      !copies_in(b.state_saves, 0, bounds.n_state_slots)) {
    return wrong("a state is");
  }
  return absl::OkStatus();
}

void write_step(const BatchCopy& step, MessageBytes& out) {
  Writer writer(out);
  writer.value(step.batch().block_table_width);
  step.each_array([&](const auto& values) { writer.array(std::span(values)); });
}

absl::Status read_step(std::span<const std::byte> bytes, const StepBounds& bounds, BatchCopy& step) {
  Reader reader(bytes);
  const int width = reader.value<int>();
  step.fill(width, [&](auto& values) { reader.array(values, kArrayMax); });
  RETURN_IF_ERROR(reader.end());
  return check_step(step.batch(), bounds);
}

MessageBytes write_limits(const backend::StepLimits& limits) {
  MessageBytes out;
  Writer writer(out);
  for (const int n : {limits.tokens_max, limits.seqs_max, limits.logit_rows_max, limits.blocks_max}) writer.value(n);
  return out;
}

absl::StatusOr<backend::StepLimits> read_limits(std::span<const std::byte> bytes) {
  constexpr int kMost = 1 << 24;
  Reader reader(bytes);
  backend::StepLimits limits;
  for (int* n : {&limits.tokens_max, &limits.seqs_max, &limits.logit_rows_max, &limits.blocks_max}) {
    *n = reader.value<int>();
    if (*n < 0 || *n > kMost) return wrong("a limit is");
  }
  RETURN_IF_ERROR(reader.end());
  return limits;
}

MessageBytes write_cache(const CacheOptions& options) {
  MessageBytes out;
  Writer writer(out);
  writer.value(options.block_size);
  writer.value(options.n_blocks);
  writer.value(options.n_state_slots);
  return out;
}

absl::StatusOr<CacheOptions> read_cache(std::span<const std::byte> bytes, const backend::KvType& type) {
  Reader reader(bytes);
  CacheOptions options{.block_size = reader.value<int>(), .type = type};
  options.n_blocks = reader.value<int64_t>();
  options.n_state_slots = reader.value<int>();
  RETURN_IF_ERROR(reader.end());
  const bool fits = options.block_size >= 1 && options.block_size <= 4096 && options.n_blocks >= 1 &&
                    options.n_blocks < int64_t{1} << 31 && options.n_state_slots >= 0;
  return fits ? absl::StatusOr<CacheOptions>(options) : wrong("the KV cache is");
}

MessageBytes write_facts(const RankFacts& facts) {
  MessageBytes out;
  Writer writer(out);
  for (const size_t n : {facts.weights, facts.scratch, facts.kv_cache, facts.graphs, facts.kv_block, facts.state}) {
    writer.value(n);
  }
  writer.value(uint64_t{facts.has_state});
  return out;
}

absl::StatusOr<RankFacts> read_facts(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  RankFacts facts;
  for (size_t* n : {&facts.weights, &facts.scratch, &facts.kv_cache, &facts.graphs, &facts.kv_block, &facts.state}) {
    *n = reader.value<size_t>();
  }
  facts.has_state = reader.value<uint64_t>() != 0;
  RETURN_IF_ERROR(reader.end());
  return facts;
}

MessageBytes write_loads(const std::vector<Model::ExpertLoad>& loads) {
  MessageBytes out;
  Writer writer(out);
  writer.value(static_cast<uint32_t>(loads.size()));
  for (const Model::ExpertLoad& load : loads) {
    writer.value(load.layer);
    writer.value(load.experts_per_rank);
    for (const int64_t n : {load.n_steps, load.n_tokens, load.n_dropped}) writer.value(n);
    for (const auto& n : {load.seconds, load.top_shares}) writer.value(n.value_or(-1));
    writer.array(load.pairs);
    writer.array(load.steps);
  }
  return out;
}

absl::Status read_loads(std::span<const std::byte> bytes, LoadsKept& kept) {
  Reader reader(bytes);
  const auto n = reader.value<uint32_t>();
  if (n > kLayersMax) return wrong("the number of layers is");
  kept.loads.assign(n, {});
  kept.numbers.resize(2 * n);
  for (size_t l = 0; l < n; ++l) {
    Model::ExpertLoad& load = kept.loads[l];
    load.layer = reader.value<int>();
    load.experts_per_rank = reader.value<int>();
    for (int64_t* number : {&load.n_steps, &load.n_tokens, &load.n_dropped}) *number = reader.value<int64_t>();
    for (std::optional<double>* number : {&load.seconds, &load.top_shares}) {
      const auto value = reader.value<double>();
      if (value >= 0 && std::isfinite(value)) *number = value;
    }
    reader.array(kept.numbers[2 * l], kExpertsMax);
    reader.array(kept.numbers[2 * l + 1], kExpertsMax);
    load.pairs = kept.numbers[2 * l];
    load.steps = kept.numbers[2 * l + 1];
    if (load.pairs.size() != load.steps.size()) return wrong("the number of experts is");
  }
  return reader.end();
}

}  // namespace polymath::model
