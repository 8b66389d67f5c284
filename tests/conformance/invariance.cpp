// Random steps of many sequences, against each sequence alone: do logits and sampled tokens have the same bits?
//   conformance_invariance MODEL BACKEND SEQUENCES TOKENS SEED [dummy] [fastest] [KV_TYPE]
// Steps mix prompt chunks and decodes of random sequences. Prefixes are shared between sequences, blocks run out, and
// sequences are computed again from the start. dummy: random weights in the model's shape. fastest: without batch
// invariance. KV_TYPE: as --kv-cache-dtype has it. Exit status: 0 if no row differs, 1 if one does, 2 on an error.

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>

#include "absl/strings/numbers.h"
#include "backend/batch_invariant.h"
#include "base/threads.h"
#include "model/rank_group.h"
#include "plan/memory_plan.h"

namespace polymath::conformance {
namespace {

constexpr int kTokensMax = 768, kLengthMax = 800, kBlock = 16, kRunningMax = 96, kSharers = 4;

uint64_t hash_of(const float* row, size_t n) {
  constexpr size_t kLanes = 8;  // independent chains of multiplications
  std::array<uint64_t, kLanes> hashes;
  hashes.fill(0xcbf29ce484222325u);  // FNV-1a
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, row + i, sizeof(bits));
    hashes[i % kLanes] = (hashes[i % kLanes] ^ bits) * 0x100000001b3u;
  }
  uint64_t hash = 0;
  for (const uint64_t h : hashes) hash = (hash ^ h) * 0x100000001b3u;
  return hash;
}

struct Options {
  std::string model, backend;
  int sequences = 0;
  int64_t tokens = 0;
  unsigned seed = 0;
  bool dummy = false, fastest = false;
  std::optional<backend::KvType> kv;  // none: of the weights' type
};

struct Sequence {
  std::vector<int32_t> tokens;
  std::vector<uint64_t> expected;  // of each position: the hash of its logits and its sampled token
  std::vector<int> blocks;
  int computed = 0, shared = 0;  // tokens of blocks that belong to the family
  int family = 0;
};

// Sequences that begin alike. Its blocks are those that one of them computed first.
struct Family {
  std::vector<int> blocks;
  bool computed = false;
};

// What a step computes of one sequence.
struct Piece {
  Sequence* sequence;
  int n;
};

class Trial {
 public:
  static absl::StatusOr<std::unique_ptr<Trial>> create(const Options& options) {
    std::unique_ptr<Trial> t(new Trial(options));
    RETURN_IF_ERROR(t->load());
    t->make_sequences();
    return t;
  }
  absl::Status run();
  int64_t differing() const { return differing_; }
  int64_t compared() const { return compared_; }
  std::string text() const;

 private:
  explicit Trial(const Options& options) : options_(options), random_(options.seed) {}
  absl::Status load();
  void make_sequences();
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  absl::StatusOr<std::vector<uint64_t>> step(const std::vector<Piece>& pieces);
  absl::Status expect_alone(Sequence& s);
  bool grow(Sequence& s, int tokens);
  void drop(Sequence& s);
  void begin(Sequence& s);
  std::vector<Piece> pick();
  absl::Status compare(const std::vector<Piece>& pieces);

  const Options options_;
  std::mt19937 random_;
  base::ThreadPool pool_{base::available_cores()};
  std::unique_ptr<backend::Backend> backend_;
  std::unique_ptr<model::Transformer> model_;
  std::vector<Sequence> sequences_;
  std::vector<Family> families_;
  std::vector<Sequence*> running_;
  std::vector<int> free_;
  int64_t compared_ = 0, differing_ = 0, steps_ = 0, dropped_ = 0, reused_ = 0;
};

absl::Status Trial::load() {
  const auto make = options_.fastest ? backend::make_backend : backend::make_batch_invariant_backend;
  ASSIGN_OR_RETURN(backend_, make(options_.backend, {}));
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(options_.model));
  ASSIGN_OR_RETURN(model::ModelConfig config, model::read_config(*files));
  std::unique_ptr<weights::Checkpoint> checkpoint;
  if (options_.dummy) {
    checkpoint = weights::dummy_checkpoint(1, config.dtype);
  } else {
    ASSIGN_OR_RETURN(checkpoint, files->open_checkpoint());
  }
  RETURN_IF_ERROR(model::untie_stored_head(*checkpoint, config));
  const model::LoadOptions load{.dtype = config.dtype, .model_len = kLengthMax};
  constexpr int kBlocksEach = kLengthMax / kBlock;
  // Too few for all that run: some lose theirs.
  const int64_t n_blocks = std::min(options_.sequences, kRunningMax) * kBlocksEach / 3 + 2 * kBlocksEach;
  const plan::PlanRequest request{
      .step = {.tokens_max = kTokensMax, .seqs_max = kRunningMax, .blocks_max = kBlocksEach},
      .cache = {.block_size = kBlock,
                .type = options_.kv.value_or(
                    backend::KvType{config.dtype == tensor::DType::kBf16 ? tensor::DType::kBf16 : tensor::DType::kF32}),
                .n_blocks = n_blocks},
      .model_len = kLengthMax,
      .snapshots = false,
      .kv_bytes = int64_t{1} << 40};
  ASSIGN_OR_RETURN(const auto planner, plan::Planner::create({config, *checkpoint, load},
                                                             std::vector<const backend::Backend*>{backend_.get()}));
  const plan::MemoryPlan plan = planner.plan(request);
  ASSIGN_OR_RETURN(model_, model::RankGroup::load(config, *checkpoint, {backend_.get()}, load));
  RETURN_IF_ERROR(model_->reserve(request.step));
  RETURN_IF_ERROR(model_->make_cache(plan.cache_options(request.cache)));
  if (model_->has_state()) return absl::UnimplementedError("models with recurrent layers are not tried");
  for (int b = 0; b < n_blocks; ++b) free_.push_back(b);
  std::shuffle(free_.begin(), free_.end(), random_);
  return absl::OkStatus();
}

void Trial::make_sequences() {
  sequences_.resize(static_cast<size_t>(options_.sequences));
  families_.resize(sequences_.size() / kSharers + 1);
  for (size_t i = 0; i < sequences_.size(); ++i) {
    Sequence& s = sequences_[i];
    s.family = static_cast<int>(i) / kSharers;
    const int alike = i % kSharers == 0 ? 0 : kBlock * (1 + s.family % 9);
    if (alike > 0)
      s.tokens.assign(sequences_[i - i % kSharers].tokens.begin(), sequences_[i - i % kSharers].tokens.begin() + alike);
    const int length = kBlock * 10 + below(kLengthMax - kBlock * 10);
    while (static_cast<int>(s.tokens.size()) < length) s.tokens.push_back(below(model_->vocab()));
  }
}

absl::StatusOr<std::vector<uint64_t>> Trial::step(const std::vector<Piece>& pieces) {
  std::vector<int32_t> tokens, positions, slots, starts = {0}, lens, table, rows;
  std::vector<model::SampleParams> sampling;
  constexpr int kWidth = kLengthMax / kBlock;
  for (const auto& [s, n] : pieces) {
    for (int t = s->computed; t < s->computed + n; ++t) {
      tokens.push_back(s->tokens[t]);
      positions.push_back(t);
      slots.push_back(s->blocks[t / kBlock] * kBlock + t % kBlock);
      rows.push_back(static_cast<int32_t>(rows.size()));
      const float uniform = static_cast<float>((static_cast<unsigned>(s->tokens[t]) * 2654435761u + t) % 65536) / 65536;
      sampling.push_back(
          {.temperature = t % 3 == 0 ? 0.0f : 0.8f, .top_p = t % 2 == 0 ? 0.9f : 1.0f, .uniform = uniform});
    }
    starts.push_back(static_cast<int32_t>(tokens.size()));
    lens.push_back(s->computed + n);
    for (int b = 0; b < kWidth; ++b) table.push_back(s->blocks[std::min<size_t>(b, s->blocks.size() - 1)]);
  }
  model::Batch batch{.tokens = tokens,
                     .positions = positions,
                     .slots = slots,
                     .query_start = starts,
                     .kv_len = lens,
                     .block_table = table,
                     .block_table_width = kWidth,
                     .logit_rows = rows};
  if (model_->samples_on_device()) batch.sampling = sampling, batch.host_rows = rows;
  RETURN_IF_ERROR(model_->start(batch));
  ASSIGN_OR_RETURN(const model::StepResult result, model_->finish());
  std::vector<uint64_t> hashes(rows.size());
  const auto vocab = static_cast<size_t>(model_->vocab());
  pool_.parallel_for(static_cast<int64_t>(rows.size()), [&](int64_t i) {
    const int32_t id = result.ids.empty() ? 0 : result.ids[i];
    hashes[i] = hash_of(result.logits.f32() + i * vocab, vocab) + static_cast<uint64_t>(id) * 0x9e3779b97f4a7c15u;
  });
  ++steps_;
  return hashes;
}

// False: too few blocks are free.
bool Trial::grow(Sequence& s, int tokens) {
  const size_t wanted = static_cast<size_t>((tokens + kBlock - 1) / kBlock);
  if (wanted > s.blocks.size() + free_.size()) return false;
  while (s.blocks.size() < wanted) {
    s.blocks.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void Trial::drop(Sequence& s) {
  for (size_t b = static_cast<size_t>(s.shared / kBlock); b < s.blocks.size(); ++b) free_.push_back(s.blocks[b]);
  std::shuffle(free_.begin(), free_.end(), random_);
  s.blocks.clear();
  s.computed = s.shared = 0;
}

// Alone, its prompt in as few steps as there can be.
absl::Status Trial::expect_alone(Sequence& s) {
  const int n = static_cast<int>(s.tokens.size());
  CHECK(grow(s, n));
  while (s.computed < n) {
    const int piece = std::min(kTokensMax, n - s.computed);
    ASSIGN_OR_RETURN(const auto hashes, step({{&s, piece}}));
    s.expected.insert(s.expected.end(), hashes.begin(), hashes.end());
    s.computed += piece;
  }
  drop(s);
  return absl::OkStatus();
}

// Mostly on the blocks of its family, where another has computed them.
void Trial::begin(Sequence& s) {
  const Family& family = families_[s.family];
  if (!family.computed || below(4) == 0) return;
  const int alike = kBlock * (1 + s.family % 9);
  s.blocks = family.blocks;
  s.computed = s.shared = alike;
  ++reused_;
}

std::vector<Piece> Trial::pick() {
  std::shuffle(running_.begin(), running_.end(), random_);
  const bool decodes = below(2) == 0;  // a step of one token each: a CUDA graph's
  const int most = 1 + below(static_cast<int>(running_.size()));
  int left = kTokensMax;
  std::vector<Piece> pieces;
  for (int i = 0; i < most && left > 0; ++i) {
    Sequence& s = *running_[i];
    const int kind = decodes ? 0 : below(4);
    int n = kind < 2 ? 1 : kind == 2 ? 1 + below(20) : 1 + below(400);
    n = std::min({n, left, static_cast<int>(s.tokens.size()) - s.computed});
    if (!grow(s, s.computed + n)) {
      if (pieces.empty()) drop(s), ++dropped_;
      continue;
    }
    pieces.push_back({&s, n});
    left -= n;
  }
  return pieces;
}

absl::Status Trial::compare(const std::vector<Piece>& pieces) {
  ASSIGN_OR_RETURN(const auto hashes, step(pieces));
  size_t row = 0;
  for (const auto& [s, n] : pieces) {
    for (int i = 0; i < n; ++i, ++row) {
      ++compared_;
      if (hashes[row] == s->expected[s->computed + i]) continue;
      if (differing_++ < 10) {
        std::printf("differs: position %d of a piece of %d in a step of %zu sequences, %zu rows\n", s->computed + i, n,
                    pieces.size(), hashes.size());
      }
    }
    s->computed += n;
    Family& family = families_[s->family];
    const int alike = kBlock * (1 + s->family % 9);
    if (!family.computed && s->shared == 0 && s->computed >= alike) {  // its first blocks now belong to the family
      family.blocks.assign(s->blocks.begin(), s->blocks.begin() + alike / kBlock);
      family.computed = true;
      s->shared = alike;
    }
    if (s->computed < static_cast<int>(s->tokens.size())) continue;
    drop(*s);
    running_.erase(std::find(running_.begin(), running_.end(), s));
  }
  return absl::OkStatus();
}

absl::Status Trial::run() {
  for (Sequence& s : sequences_) RETURN_IF_ERROR(expect_alone(s));
  while (compared_ < options_.tokens) {
    while (running_.size() < static_cast<size_t>(std::min(options_.sequences, kRunningMax))) {
      Sequence& s = sequences_[below(options_.sequences)];
      if (std::find(running_.begin(), running_.end(), &s) != running_.end()) continue;
      begin(s);
      running_.push_back(&s);
    }
    if (below(12) == 0) {
      drop(*running_[below(static_cast<int>(running_.size()))]);
      ++dropped_;
    }
    const auto pieces = pick();
    if (!pieces.empty()) RETURN_IF_ERROR(compare(pieces));
  }
  return absl::OkStatus();
}

std::string Trial::text() const {
  char line[256];
  std::snprintf(line, sizeof(line),
                "%s on %s: %lld rows of %d sequences in %lld steps, %lld prefixes reused, %lld dropped: %lld differ",
                options_.model.c_str(), options_.backend.c_str(), static_cast<long long>(compared_), options_.sequences,
                static_cast<long long>(steps_), static_cast<long long>(reused_), static_cast<long long>(dropped_),
                static_cast<long long>(differing_));
  return line;
}

int run(const Options& options) {
  auto trial = Trial::create(options);
  const absl::Status status = trial.ok() ? (*trial)->run() : trial.status();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 2;
  }
  std::printf("%s\n", (*trial)->text().c_str());
  return (*trial)->differing() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace polymath::conformance

int main(int argc, char** argv) {
  polymath::conformance::Options o;
  if (argc < 6 || !absl::SimpleAtoi(argv[3], &o.sequences) || !absl::SimpleAtoi(argv[4], &o.tokens) ||
      !absl::SimpleAtoi(argv[5], &o.seed) || o.sequences < 1) {
    std::fprintf(stderr,
                 "usage: conformance_invariance MODEL BACKEND SEQUENCES TOKENS SEED [dummy] [fastest] [KV_TYPE]\n");
    return 2;
  }
  o.model = argv[1], o.backend = argv[2];
  for (int i = 6; i < argc; ++i) {
    o.dummy = o.dummy || std::strcmp(argv[i], "dummy") == 0;
    o.fastest = o.fastest || std::strcmp(argv[i], "fastest") == 0;
    if (const auto kv = polymath::backend::KvType::named(argv[i]); kv.has_value()) o.kv = kv;
  }
  return polymath::conformance::run(o);
}
