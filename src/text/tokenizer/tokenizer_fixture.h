#pragma once

// What the tests of this room share: reference files and small tokenizers of their own.

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "gtest/gtest.h"
#include "text/tokenizer.h"

namespace polymath::text {

inline const char* const kTokenizerKinds[] = {"deepseek-v3", "gpt-oss", "gpt2",   "llama3",
                                              "mixtral",     "qwen2",   "unigram"};

inline std::string data_path(const std::string& name) {
  return std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/" + name;
}

inline std::string read_data(const std::string& name) {
  std::ifstream in(data_path(name), std::ios::binary);
  EXPECT_TRUE(in) << name;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline std::unique_ptr<Tokenizer> load_kind(const std::string& kind) {
  auto tokenizer = parse_tokenizer_json(read_data("tokenizers/" + kind + "/tokenizer.json"), "", {});
  EXPECT_TRUE(tokenizer.ok()) << kind << ": " << tokenizer.status();
  return *std::move(tokenizer);
}

// The first entry of the vocabulary that is spelled so; fails the test if there is none.
inline TokenId id_of(const Tokenizer& tokenizer, std::string_view token) {
  const auto size = static_cast<TokenId>(tokenizer.vocab_size());
  for (TokenId id = 0; id < size; ++id) {
    if (tokenizer.token_text(id) == token) return id;
  }
  ADD_FAILURE() << "no token " << token;
  return -1;
}

struct TokenizerCase {
  std::string text;
  std::vector<TokenId> ids, ids_without_special;
  std::string decoded, decoded_keep_special;
};

inline std::vector<TokenizerCase> read_cases(const std::string& name) {
  const auto json = base::parse_json(read_data(name), {});
  EXPECT_TRUE(json.ok()) << name << ": " << json.status();
  std::vector<TokenizerCase> cases;
  for (const auto& entry : json->get_array()) {
    base::JsonReader reader(entry);
    cases.push_back({reader.s("text"), reader.ints("ids"), reader.ints("ids_without_special"), reader.s("decoded"),
                     reader.s("decoded_keep_special", "")});
    EXPECT_TRUE(reader.status().ok()) << reader.status();
  }
  EXPECT_FALSE(cases.empty()) << name;
  return cases;
}

}  // namespace polymath::text
