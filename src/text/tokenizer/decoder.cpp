#include "text/tokenizer/decoder.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "text/tokenizer/byte_level.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/pattern.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";

void fuse(std::vector<std::string>& tokens) {
  std::string all;
  for (const auto& token : tokens) all += token;
  tokens.assign(1, std::move(all));
}

class ByteLevelDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const auto& token : tokens) append_level_bytes(token, bytes);
    tokens.assign(1, sanitize_utf8(bytes));
  }
};

// "<0x0A>" -> 10.
std::optional<unsigned char> parse_byte_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'f', upper = c >= 'A' && c <= 'F';
    if (!digit && !lower && !upper) return std::nullopt;
    value = value * 16 + (digit ? c - '0' : (c | 32) - 'a' + 10);
  }
  return static_cast<unsigned char>(value);
}

// Whole characters stay; each other byte becomes U+FFFD.
std::string bytes_to_text(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const CodePoint c = decode_utf8(bytes.substr(i));
    out.append(c.valid ? bytes.substr(i, c.bytes) : kReplacementUtf8);
    i += c.valid ? c.bytes : 1;
  }
  return out;
}

class ByteFallback final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    out.reserve(tokens.size());
    std::string bytes;
    const auto flush = [&] {
      if (!bytes.empty()) out.push_back(bytes_to_text(bytes));
      bytes.clear();
    };
    for (auto& token : tokens) {
      if (const auto byte = parse_byte_token(token)) {
        bytes.push_back(static_cast<char>(*byte));
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens = std::move(out);
  }
};

class Fuse final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override { fuse(tokens); }
};

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (auto& token : tokens) token = pattern_.replace(token, content_);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (auto& token : tokens) {
      std::string_view rest(token);
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string content_;  // one character
  int64_t start_, stop_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(const std::string& replacement, bool strips_first)
      : blank_(Pattern::literal(replacement)), strips_first_(strips_first) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = blank_.replace(tokens[i], i == 0 && strips_first_ ? "" : " ");
    }
  }

 private:
  Pattern blank_;
  bool strips_first_;
};

class SentencePieceDecoder final : public Decoder {
 public:
  explicit SentencePieceDecoder(SentencePieceBlanks blanks)
      : blanks_(blanks), blank_(Pattern::literal(std::string(kBlank))) {}

  void apply(std::vector<std::string>& tokens) const override {
    ByteFallback().apply(tokens);
    std::string out;
    bool at_start = blanks_.strip_first;
    for (const auto& token : tokens) {
      std::string_view rest(token);
      bool dropped = false;
      if (at_start && out.empty() && rest.starts_with(kBlank)) {
        rest.remove_prefix(kBlank.size());
        dropped = !blanks_.strip_all;
      }
      if (dropped) at_start = false;
      out += blank_.replace(rest, " ");
    }
    tokens.assign(1, std::move(out));
  }

 private:
  SentencePieceBlanks blanks_;
  Pattern blank_;
};

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> members) : members_(std::move(members)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& member : members_) member->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> members_;
};

using Made = absl::StatusOr<std::unique_ptr<Decoder>>;

Made read_sequence(const base::JsonValue& node, std::string_view path) {
  ASSIGN_OR_RETURN(const auto nodes, sequence_of(node, "decoders", path));
  std::vector<std::unique_ptr<Decoder>> members;
  for (size_t i = 0; i < nodes.size(); ++i) {
    ASSIGN_OR_RETURN(auto member, read_decoder(nodes[i], absl::StrCat(std::string(path), "[", i, "]")));
    if (member != nullptr) members.push_back(std::move(member));
  }
  return std::make_unique<DecoderSequence>(std::move(members));
}

Made read_strip(base::JsonReader& reader) {
  const std::string content = reader.s("content");
  const int64_t start = reader.i64("start", 0), stop = reader.i64("stop", 0);
  if (content.empty()) reader.complain("content", "must be one character");
  if (start < 0 || stop < 0) reader.complain("start", "must not be negative");
  return std::make_unique<StripDecoder>(content, start, stop);
}

Made read_node(const base::JsonValue& node, std::string_view type, base::JsonReader& reader, std::string_view path) {
  if (type == "Sequence") return read_sequence(node, path);
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") return read_strip(reader);
  if (type == "Replace") {
    ASSIGN_OR_RETURN(Pattern pattern, Pattern::from_json(reader.find("pattern"), path));
    return std::make_unique<ReplaceDecoder>(std::move(pattern), reader.s("content"));
  }
  if (type == "Metaspace") {
    const std::string scheme = reader.s("prepend_scheme", reader.b("add_prefix_space", true) ? "always" : "never");
    return std::make_unique<MetaspaceDecoder>(reader.s("replacement", kBlank), scheme != "never");
  }
  return unknown_type(path, type);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> read_decoder(const base::JsonValue* node, std::string_view path) {
  if (node == nullptr || node->is_null()) return nullptr;
  base::JsonReader reader(*node, std::string(path));
  const std::string type = reader.s("type");
  RETURN_IF_ERROR(reader.status());
  ASSIGN_OR_RETURN(auto made, read_node(*node, type, reader, path));
  RETURN_IF_ERROR(reader.status());
  return made;
}

std::unique_ptr<Decoder> make_sentencepiece_decoder(SentencePieceBlanks blanks) {
  return std::make_unique<SentencePieceDecoder>(blanks);
}

}  // namespace polymath::text
