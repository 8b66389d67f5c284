#include "api/responses/store.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

// Clients may choose their ids, so that two owners can have the same one.
std::string key_of(std::string_view id, std::string_view owner) {
  return absl::StrCat(std::string(owner), std::string(1, '\0'), std::string(id));
}

}  // namespace

void ResponseStore::add(StoredResponse response) {
  const size_t bytes = response.bytes();
  if (bytes > kResponseBytesMax) return;
  const std::lock_guard lock(mutex_);
  std::string key = key_of(response.id, response.owner);
  if (const auto at = places_.find(key); at != places_.end()) drop(at->second);
  list_.push_front(std::make_shared<const StoredResponse>(std::move(response)));
  places_[std::move(key)] = list_.begin();
  bytes_ += bytes;
  while (list_.size() > kResponsesMax || bytes_ > kBytesMax) drop(std::prev(list_.end()));
}

std::shared_ptr<const StoredResponse> ResponseStore::find(std::string_view id, std::string_view owner) {
  const std::lock_guard lock(mutex_);
  const auto at = places_.find(key_of(id, owner));
  if (at == places_.end()) return nullptr;
  list_.splice(list_.begin(), list_, at->second);
  return list_.front();
}

bool ResponseStore::erase(std::string_view id, std::string_view owner) {
  const std::lock_guard lock(mutex_);
  const auto at = places_.find(key_of(id, owner));
  if (at == places_.end()) return false;
  drop(at->second);
  return true;
}

void ResponseStore::drop(List::iterator at) {
  bytes_ -= (*at)->bytes();
  places_.erase(key_of((*at)->id, (*at)->owner));
  list_.erase(at);
}

}  // namespace polymath::api
