#include "text/tokenizer/unigram.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score, as in SentencePiece
// Nodes are addressed by 32 bits; of a longer word each part of this size is cut by itself.
constexpr size_t kWordBytesMax = 1u << 28;

}  // namespace

Unigram::Unigram(std::shared_ptr<const Vocabulary> vocabulary, const std::vector<UnigramPiece>& pieces,
                 UnigramOptions options)
    : vocabulary_(std::move(vocabulary)), options_(options), byte_ids_(vocabulary_->byte_tokens()) {
  scores_.resize(vocabulary_->size());
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (const auto& piece : pieces) {
    entries.emplace_back(vocabulary_->text(piece.id), piece.id);
    scores_[piece.id] = piece.score;
  }
  trie_ = ByteTrie(std::move(entries));
}

std::vector<Unigram::Node> Unigram::best_paths(std::string_view word) const {
  std::vector<Node> nodes(word.size() + 1);
  const auto offer = [&](size_t begin, size_t end, double score, TokenId id) {
    double sum = nodes[begin].score + score;
    Node& node = nodes[end];
    if (node.begin >= 0 && !(sum > node.score)) return;
    if (options_.single_precision) sum = static_cast<float>(sum);
    node = {sum, static_cast<int32_t>(begin), id};
  };
  for (size_t i = 0; i < word.size();) {
    const size_t length = std::min<size_t>(utf8_length(word[i]), word.size() - i);
    bool has_single = false;  // a piece for this one character
    trie_.prefixes(word.substr(i), [&](size_t bytes, TokenId id) {
      offer(i, i + bytes, scores_[id], id);
      has_single |= bytes == length;
    });
    if (!has_single) offer(i, i + length, options_.unknown_score, kUnknown);
    i += length;
  }
  return nodes;
}

void Unigram::encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const {
  size_t at = 0;
  while (word.size() - at > kWordBytesMax) {
    size_t cut = at + kWordBytesMax;
    while ((static_cast<unsigned char>(word[cut]) & 0xC0) == 0x80) --cut;
    encode_part(word.substr(at, cut - at), at, ids, spans);
    at = cut;
  }
  encode_part(word.substr(at), at, ids, spans);
}

// `at`: where the part stands in its word.
void Unigram::encode_part(std::string_view word, size_t at, std::vector<TokenId>& ids,
                          std::vector<ByteSpan>* spans) const {
  const std::vector<Node> nodes = best_paths(word);
  const auto is_unknown = [&](const Node& n) {
    return n.id == kUnknown || (options_.unknown && n.id == options_.unknown);
  };
  // All bytes of an unknown text have its span.
  const auto set_spans = [&](size_t begin, size_t end) {
    if (spans == nullptr) return;
    spans->resize(ids.size(), {static_cast<uint32_t>(at + begin), static_cast<uint32_t>(at + end)});
  };
  std::vector<size_t> ends;  // of the chosen pieces, last first
  for (size_t end = word.size(); end > 0; end = nodes[end].begin) ends.push_back(end);
  size_t unknown_begin = 0;
  bool in_unknown = false;  // a run of unknown characters is one
  const auto end_unknown = [&](size_t end) {
    if (!std::exchange(in_unknown, false)) return;
    append_unknown(word.substr(unknown_begin, end - unknown_begin), ids);
    set_spans(unknown_begin, end);
  };
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const Node& node = nodes[*end];
    if (is_unknown(node)) {
      if (!in_unknown) unknown_begin = node.begin;
      in_unknown = true;
      continue;
    }
    end_unknown(node.begin);
    ids.push_back(node.id);
    set_spans(node.begin, *end);
  }
  end_unknown(word.size());
}

void Unigram::append_unknown(std::string_view text, std::vector<TokenId>& ids) const {
  if (const auto id = options_.seeks_unknown ? vocabulary_->find(text) : std::nullopt) {
    ids.push_back(*id);
    return;
  }
  if (options_.byte_fallback) {
    const bool all =
        std::all_of(text.begin(), text.end(), [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; });
    if (all) {
      for (const char c : text) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      return;
    }
  }
  if (options_.unknown) ids.push_back(*options_.unknown);
}

absl::StatusOr<std::unique_ptr<TokenModel>> read_unigram(const base::JsonValue& node,
                                                         std::shared_ptr<const Vocabulary> vocabulary) {
  base::JsonReader reader(node, "model");
  UnigramOptions options;
  options.seeks_unknown = true;
  options.byte_fallback = reader.b("byte_fallback", false);
  if (reader.has("unk_id")) {
    const int64_t unknown = reader.i64("unk_id");
    if (unknown < 0 || static_cast<uint64_t>(unknown) >= vocabulary->size()) {
      reader.complain("unk_id", absl::StrCat(unknown, " is not in the vocabulary"));
    }
    options.unknown = static_cast<TokenId>(unknown);
  }
  RETURN_IF_ERROR(reader.status());
  std::vector<UnigramPiece> pieces;
  double lowest = std::numeric_limits<double>::infinity();
  const auto& entries = reader.find("vocab")->get_array();  // [[text, score], ...], checked with the vocabulary
  for (size_t id = 0; id < entries.size(); ++id) {
    const auto& score = entries[id].get_array()[1];
    if (!score.is_number())
      return absl::InvalidArgumentError(absl::StrCat("model.vocab[", id, "]: must be [text, score]"));
    pieces.push_back({static_cast<TokenId>(id), score.to_number<double>()});
    lowest = std::min(lowest, pieces.back().score);
  }
  options.unknown_score = (pieces.empty() ? 0 : lowest) - kUnknownPenalty;
  return std::make_unique<Unigram>(std::move(vocabulary), pieces, options);
}

}  // namespace polymath::text
