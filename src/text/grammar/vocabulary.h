#pragma once

// The bytes of every token, as a trie: what a grammar's masks are made from.
//
//   ASSIGN_OR_RETURN(auto vocabulary, Vocabulary::make(tokenizer, eos_ids));
//   vocabulary->bytes(id);                 // what the token adds to a text
//
// A special token has no bytes of its own text: no grammar should write "<|im_end|>" inside of a string. A grammar that
// wants one names it: kSpecialMark and its spelling. The mark's byte is in no UTF-8 text.
//
// Thread safety: const after construction.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace polymath::text::grammar {

inline constexpr char kSpecialMark = '\xFF';

// Nodes in preorder; node 0 is the root. The subtree of node n is [n, end).
struct TrieNode {
  uint32_t end = 0;
  TokenId token = -1;  // of the text that ends here; -1: none
  uint16_t depth = 0;  // bytes from the root
  uint8_t byte = 0;
  bool shared = false;  // several tokens have this text
};

struct UnitTable;

class Vocabulary {
 public:
  static constexpr size_t kTokenBytesMax = 512;  // a longer token is never allowed by a grammar

  // `texts`: the bytes of each id; empty: no grammar allows the id. `end_ids`: allowed where a grammar may end.
  Vocabulary(std::vector<std::string> texts, std::vector<TokenId> end_ids);
  static std::shared_ptr<const Vocabulary> make(const Tokenizer& tokenizer, size_t vocab, std::vector<TokenId> end_ids);

  size_t size() const { return texts_.size(); }  // ids are below it
  std::string_view bytes(TokenId id) const;      // empty: none, or no such id
  std::span<const TokenId> end_ids() const { return end_ids_; }
  bool is_end(TokenId id) const;
  std::vector<std::string> specials() const;  // texts of special tokens, the longer ones first

  // Of each of standard_units().
  std::span<const std::shared_ptr<const UnitTable>> unit_tables() const { return unit_tables_; }
  std::span<const TrieNode> nodes() const { return nodes_; }
  uint32_t depth_max() const { return depth_max_; }
  // visit(id) for each token whose text ends at the node.
  template <typename Visit>
  void each_token(const TrieNode& node, const Visit& visit) const {
    if (node.token >= 0) visit(node.token);
    if (!node.shared) return;
    for (TokenId id = next_same_[static_cast<size_t>(node.token)]; id >= 0; id = next_same_[static_cast<size_t>(id)]) {
      visit(id);
    }
  }
  // visit(child) for each child of a node.
  template <typename Visit>
  void each_child(uint32_t node, const Visit& visit) const {
    const uint32_t end = nodes_[node].end;
    for (uint32_t child = node + 1; child < end; child = nodes_[child].end) visit(child);
  }

 private:
  void build_trie();

  const std::vector<std::string> texts_;
  const std::vector<TokenId> end_ids_;
  std::vector<TrieNode> nodes_;
  std::vector<TokenId> next_same_;  // of each id: the next one with equal bytes; -1: none
  uint32_t depth_max_ = 0;
  std::vector<std::shared_ptr<const UnitTable>> unit_tables_;
};

}  // namespace polymath::text::grammar
