#include "text/tokenizer/bpe.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/merge_list.h"
#include "text/tokenizer/word_cache.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

std::atomic<uint64_t> next_instance{1};

constexpr size_t kScratchBytesMax = 4096;  // of a word; a longer one takes memory of its own, given back at its end

}  // namespace

// The symbols that a word begins with, and the bytes of each. tokenizers adds them up: text without a symbol has none.
struct Bpe::Symbols {
  std::vector<TokenId> ids;
  std::vector<uint32_t> bytes;

  void clear() {
    ids.clear();
    bytes.clear();
  }
  void add(TokenId id, size_t n_bytes) {
    ids.push_back(id);
    bytes.push_back(static_cast<uint32_t>(n_bytes));
  }
};

struct Bpe::Scratch {
  Symbols symbols;
  MergeList list;
};

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, Merges merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      options_(std::move(options)),
      byte_ids_(vocabulary_->byte_tokens()),
      instance_(next_instance.fetch_add(1)) {
  for (int c = 0; c < 128; ++c) {
    const char character = static_cast<char>(c);
    ascii_ids_.push_back(vocabulary_->find({&character, 1}).value_or(-1));
  }
}

void Bpe::encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const {
  if (spans != nullptr || word.size() > WordCache::kWordBytesMax) return encode_uncached(word, ids, spans);
  WordCache& cache = WordCache::of_this_thread();
  if (cache.find(instance_, word, ids)) return;
  const size_t old = ids.size();
  encode_uncached(word, ids, nullptr);
  cache.keep(instance_, word, ids.data() + old, ids.size() - old);
}

void Bpe::encode_uncached(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const {
  if (options_.ignore_merges) {
    if (const auto whole = vocabulary_->find(word)) {
      ids.push_back(*whole);
      if (spans != nullptr) spans->push_back({0, static_cast<uint32_t>(word.size())});
      return;
    }
  }
  if (word.size() > kScratchBytesMax) {
    Scratch scratch;
    return merge(word, scratch, ids, spans);
  }
  thread_local Scratch scratch;
  merge(word, scratch, ids, spans);
}

void Bpe::merge(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids,
                std::vector<ByteSpan>* spans) const {
  scratch.symbols.clear();
  first_symbols(word, scratch.symbols);
  scratch.list.reset(scratch.symbols.ids);
  scratch.list.run([this](TokenId left, TokenId right) -> std::optional<MergeList::Candidate> {
    const auto found = merges_.find(pair_key(left, right));
    if (found == merges_.end()) return std::nullopt;
    return found->second;
  });
  if (spans == nullptr) return scratch.list.append_to(ids);
  uint32_t at = 0;
  scratch.list.for_each([&](TokenId id, size_t first, size_t end) {
    ids.push_back(id);
    const uint32_t begin = at;
    for (size_t i = first; i < end; ++i) at += scratch.symbols.bytes[i];
    spans->push_back({begin, at});
  });
}

bool Bpe::append_bytes(std::string_view character, Symbols& out) const {
  for (const char c : character) {
    if (byte_ids_[static_cast<unsigned char>(c)] < 0) return false;
  }
  for (const char c : character) out.add(byte_ids_[static_cast<unsigned char>(c)], 1);
  return true;
}

void Bpe::first_symbols(std::string_view word, Symbols& out) const {
  const bool plain = options_.continuing_prefix.empty() && options_.end_suffix.empty();
  size_t waiting = 0;  // bytes of an unknown: tokenizers gives it out only when the next known character is met
  for (size_t i = 0; i < word.size();) {
    const size_t length = std::min<size_t>(utf8_length(word[i]), word.size() - i);
    const std::string_view character = word.substr(i, length);
    std::string decorated;
    if (!plain) {
      if (i > 0) decorated = options_.continuing_prefix;
      decorated += character;
      if (i + length == word.size()) decorated += options_.end_suffix;
    }
    const std::string_view spelling = plain ? character : std::string_view(decorated);
    i += length;
    const TokenId id = plain && length == 1 ? ascii_ids_[static_cast<unsigned char>(character[0]) & 127]
                                            : vocabulary_->find(spelling).value_or(-1);
    if (id >= 0) {
      if (waiting > 0) out.add(*options_.unknown, waiting);
      waiting = 0;
      out.add(id, length);
    } else if ((!options_.byte_fallback || !append_bytes(spelling, out)) && options_.unknown) {
      if (waiting > 0 && !options_.fuse_unknown) out.add(*options_.unknown, std::exchange(waiting, 0));
      waiting += length;
    }
  }
  if (waiting > 0) out.add(*options_.unknown, waiting);
}

namespace {

// A merge is "left right" or [left, right].
absl::StatusOr<std::pair<std::string_view, std::string_view>> read_pair(const base::JsonValue& entry, size_t index) {
  const auto bad = [index](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("model.merges[", index, "]: ", std::string(what)));
  };
  if (entry.is_array()) {
    const auto& pair = entry.get_array();
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) return bad("must be two strings");
    return std::pair{to_view(pair[0].get_string()), to_view(pair[1].get_string())};
  }
  if (!entry.is_string()) return bad("must be a string or two strings");
  const std::string_view text = to_view(entry.get_string());
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    return bad("must be two tokens with one space between them");
  }
  return std::pair{text.substr(0, space), text.substr(space + 1)};
}

absl::StatusOr<Bpe::Merges> read_merges(const base::JsonValue* node, const Vocabulary& vocabulary,
                                        const std::string& prefix) {
  if (node == nullptr || !node->is_array()) return absl::InvalidArgumentError("model.merges: must be an array");
  Bpe::Merges merges;
  merges.reserve(node->get_array().size());
  uint32_t rank = 0;
  for (const auto& entry : node->get_array()) {
    ASSIGN_OR_RETURN(const auto pair, read_pair(entry, rank));
    const auto named = [&](std::string_view token) -> absl::StatusOr<TokenId> {
      if (const auto id = vocabulary.find(token)) return *id;
      return absl::InvalidArgumentError(
          absl::StrCat("model.merges[", rank, "]: \"", std::string(token), "\" is not in the vocabulary"));
    };
    ASSIGN_OR_RETURN(const TokenId left, named(pair.first));
    ASSIGN_OR_RETURN(const TokenId right, named(pair.second));
    if (pair.second.size() < prefix.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.merges[", rank, "]: shorter than continuing_subword_prefix"));
    }
    ASSIGN_OR_RETURN(const TokenId joined,
                     named(absl::StrCat(std::string(pair.first), std::string(pair.second.substr(prefix.size())))));
    merges[Bpe::pair_key(left, right)] = {rank++, joined};
  }
  return merges;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> read_bpe(const base::JsonValue& node,
                                                     std::shared_ptr<const Vocabulary> vocabulary) {
  base::JsonReader reader(node, "model");
  BpeOptions options;
  options.fuse_unknown = reader.b("fuse_unk", false);
  options.byte_fallback = reader.b("byte_fallback", false);
  options.ignore_merges = reader.b("ignore_merges", false);
  options.continuing_prefix = reader.s("continuing_subword_prefix", "");
  options.end_suffix = reader.s("end_of_word_suffix", "");
  if (reader.f("dropout", 0) != 0) reader.complain("dropout", "is for training; it is not supported");
  if (reader.has("unk_token")) {
    const std::string unknown = reader.s("unk_token");
    options.unknown = vocabulary->find(unknown);
    if (!options.unknown) reader.complain("unk_token", absl::StrCat("\"", unknown, "\" is not in the vocabulary"));
  }
  RETURN_IF_ERROR(reader.status());
  ASSIGN_OR_RETURN(auto merges, read_merges(reader.find("merges"), *vocabulary, options.continuing_prefix));
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(options));
}

}  // namespace polymath::text
