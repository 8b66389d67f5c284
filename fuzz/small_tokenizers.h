#pragma once

// A small tokenizer of each kind, made without a file: every byte, some words, and special tokens.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer/byte_level.h"
#include "tokenizer_use.h"

namespace polymath::fuzz {

inline constexpr std::string_view kBlankMark = "\xE2\x96\x81";  // SentencePiece's blank

inline std::string quoted(std::string text) { return base::to_text(base::JsonValue(std::move(text))); }

// Words and parts of words; `blank` comes before a word.
inline std::vector<std::string> word_list(std::string_view blank) {
  const std::string b(blank);
  return {
      b,           b + b,  b + b + b,      "the",         b + "the", "a",  b + "a",    "\n", "\n\n", "Stop",
      b + "Stop",  "St",   "op",           "!",           ".",       "12", "\xC3\xA9", "é",  "日本", "\xF0\x9F\x98\x80",
      "e\xCC\x81", "<0x>", "\xEF\xBF\xBD", b + "\xC3\xA4"};
}

// `entries` from id 3 on; before them <unk>, <s> and </s>.
inline std::string bpe_json(const std::vector<std::string>& entries, std::string_view decoder) {
  std::vector<std::string> vocab = {"\"<unk>\":0", "\"<s>\":1", "\"</s>\":2"};
  for (const std::string& entry : entries) vocab.push_back(absl::StrCat(quoted(entry), ":", vocab.size()));
  return absl::StrCat(R"({"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"merges":[],"vocab":{)",
                      absl::StrJoin(vocab, ","), R"(}},"added_tokens":[{"id":1,"content":"<s>","special":true},)",
                      R"({"id":2,"content":"</s>","special":true},{"id":)", vocab.size(),
                      R"(,"content":"<tool>","special":false},{"id":)", vocab.size() + 1,
                      R"(,"content":" <x> ","special":true}],"decoder":)", std::string(decoder), "}");
}

inline std::string byte_level_json() {
  std::vector<std::string> entries;
  for (int byte = 0; byte < 256; ++byte)
    entries.push_back(text::bytes_to_level(std::string(1, static_cast<char>(byte))));
  for (const std::string& word : word_list(" ")) {
    const std::string spelled = text::bytes_to_level(word);
    if (std::find(entries.begin(), entries.end(), spelled) == entries.end()) entries.push_back(spelled);
  }
  return bpe_json(entries, R"({"type":"ByteLevel"})");
}

inline std::vector<std::string> byte_tokens_and_words() {
  std::vector<std::string> entries;
  for (int byte = 0; byte < 256; ++byte) entries.push_back(absl::StrFormat("<0x%02X>", byte));
  for (std::string& word : word_list(kBlankMark)) {
    if (std::find(entries.begin(), entries.end(), word) == entries.end()) entries.push_back(std::move(word));
  }
  return entries;
}

inline std::string byte_fallback_json() {
  return bpe_json(byte_tokens_and_words(),
                  R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},)"
                  R"({"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})");
}

inline std::string metaspace_json() {
  return bpe_json(byte_tokens_and_words(), R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always"})");
}

// `message` as field `number` of a protobuf message. REQUIRES: fewer than 2^14 bytes.
inline std::string counted_field(int number, std::string_view message) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  if (message.size() >= 128) out += static_cast<char>(message.size() % 128 | 128);
  out += static_cast<char>(message.size() >= 128 ? message.size() / 128 : message.size());
  return out.append(message);
}

inline std::string piece(std::string_view text, char type) {
  return counted_field(1, counted_field(1, text) + std::string("\x18") + type);
}

// A tokenizer.model: pieces of every type.
inline std::string sentencepiece_file() {
  constexpr char kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6;
  std::string out =
      piece("<unk>", kUnknown) + piece("<s>", kControl) + piece("</s>", kControl) + piece("<tool>", kUserDefined);
  for (const std::string& entry : byte_tokens_and_words()) {
    const bool is_byte = entry.size() == 6 && entry.starts_with("<0x");
    out += piece(entry, is_byte ? kByte : kNormal);
  }
  return out;
}

inline std::vector<std::string> bytes_and_words() {
  std::vector<std::string> entries;
  for (int byte = 0; byte < 256; ++byte) entries.emplace_back(1, static_cast<char>(byte));
  for (std::string& word : word_list(" ")) {
    if (std::find(entries.begin(), entries.end(), word) == entries.end()) entries.push_back(std::move(word));
  }
  return entries;
}

inline std::string tiktoken_file() {
  std::string out;
  int rank = 0;
  for (const std::string& entry : bytes_and_words())
    absl::StrAppend(&out, absl::Base64Escape(entry), " ", rank++, "\n");
  return out;
}

inline std::string tekken_file() {
  std::vector<std::string> vocab;
  for (const std::string& entry : bytes_and_words()) {
    vocab.push_back(absl::StrCat(R"({"rank":)", vocab.size(), R"(,"token_bytes":")", absl::Base64Escape(entry), "\"}"));
  }
  return absl::StrCat(R"({"config":{"pattern":"\\p{L}+|\\s+|.","version":"v3","default_num_special_tokens":20,)",
                      R"("default_vocab_size":)", vocab.size() + 20, R"(},"vocab":[)", absl::StrJoin(vocab, ","), "]}");
}

inline std::vector<std::unique_ptr<text::Tokenizer>> small_tokenizers() {
  using namespace text;  // NOLINT(google-build-using-namespace)
  std::vector<std::unique_ptr<Tokenizer>> out;
  const auto add = [&](absl::StatusOr<std::unique_ptr<Tokenizer>> made) {
    if (!made.ok())
      std::fprintf(stderr, "tokenizer %zu: %s\n", out.size(), std::string(made.status().message()).c_str());
    CHECK(made.ok());
    out.push_back(*std::move(made));
  };
  add(parse_tokenizer_json(byte_level_json(), "", kFuzzLimits));
  add(parse_tokenizer_json(byte_fallback_json(), "", kFuzzLimits));
  add(parse_tokenizer_json(metaspace_json(), "", kFuzzLimits));
  add(parse_sentencepiece_model(sentencepiece_file(), "", kFuzzLimits));
  add(parse_tiktoken({"hy.tiktoken", tiktoken_file()}, "", kFuzzLimits));
  add(parse_tekken({"tekken.json", tekken_file()}, "", kFuzzLimits));
  return out;
}

}  // namespace polymath::fuzz
