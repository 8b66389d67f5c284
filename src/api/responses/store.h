#pragma once

// Responses that clients may read again, or go on from: in memory, bounded, the longest unused one goes first.
//
// Thread safety: all methods may be called from any thread.

#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace polymath::api {

struct StoredResponse {
  std::string id;
  std::string owner;     // the key that asked for it; another key does not find it
  std::string body;      // JSON, as it was answered
  std::string input;     // JSON: the items of the request
  std::string messages;  // JSON: the chat up to and with the answer, without its instructions

  size_t bytes() const { return id.size() + owner.size() + body.size() + input.size() + messages.size(); }
};

class ResponseStore {
 public:
  static constexpr size_t kResponsesMax = 1024;          // more: the longest unused one is dropped
  static constexpr size_t kBytesMax = 64u << 20;         // of all; more: the same
  static constexpr size_t kResponseBytesMax = 8u << 20;  // of one; a larger one is not stored

  void add(StoredResponse response);
  // Null: there is none of this owner.
  std::shared_ptr<const StoredResponse> find(std::string_view id, std::string_view owner);
  bool erase(std::string_view id, std::string_view owner);

 private:
  using List = std::list<std::shared_ptr<const StoredResponse>>;
  void drop(List::iterator at);

  std::mutex mutex_;
  List list_;                                                // the last used one first
  absl::flat_hash_map<std::string, List::iterator> places_;  // by owner and id
  size_t bytes_ = 0;
};

}  // namespace polymath::api
