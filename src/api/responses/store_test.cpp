#include "api/responses/store.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

StoredResponse response(std::string id, std::string owner = "a", size_t bytes = 1) {
  return {.id = std::move(id), .owner = std::move(owner), .body = std::string(bytes, 'x'), .input = "", .messages = ""};
}

TEST(ResponseStore, OnlyTheOwnerFindsAndErases) {
  ResponseStore store;
  store.add(response("1", "a"));
  EXPECT_EQ(store.find("1", "b"), nullptr);
  EXPECT_FALSE(store.erase("1", "b"));
  ASSERT_NE(store.find("1", "a"), nullptr);
  EXPECT_TRUE(store.erase("1", "a"));
  EXPECT_EQ(store.find("1", "a"), nullptr);
  EXPECT_FALSE(store.erase("1", "a"));
}

TEST(ResponseStore, TheLongestUnusedGoesFirst) {
  ResponseStore store;
  for (size_t i = 0; i < ResponseStore::kResponsesMax; ++i) store.add(response(absl::StrCat(i)));
  EXPECT_NE(store.find("0", "a"), nullptr);  // now the last used
  store.add(response("more"));
  EXPECT_NE(store.find("0", "a"), nullptr);
  EXPECT_EQ(store.find("1", "a"), nullptr);
  EXPECT_NE(store.find("2", "a"), nullptr);
}

TEST(ResponseStore, BytesAreBoundedAndAHugeResponseIsNotStored) {
  ResponseStore store;
  store.add(response("huge", "a", ResponseStore::kResponseBytesMax));
  EXPECT_EQ(store.find("huge", "a"), nullptr);
  constexpr size_t kLarge = ResponseStore::kResponseBytesMax - 16;
  constexpr size_t kFit = ResponseStore::kBytesMax / (kLarge + 2);
  for (size_t i = 0; i <= kFit; ++i) store.add(response(absl::StrCat(i), "a", kLarge));
  EXPECT_EQ(store.find("0", "a"), nullptr);
  for (size_t i = 1; i <= kFit; ++i) EXPECT_NE(store.find(absl::StrCat(i), "a"), nullptr) << i;
}

TEST(ResponseStore, AnIdBelongsToItsOwner) {
  ResponseStore store;
  store.add(response("1", "a", 1));
  store.add(response("1", "a", 2));
  ASSERT_NE(store.find("1", "a"), nullptr);
  EXPECT_EQ(store.find("1", "a")->body.size(), 2u);
  store.add(response("1", "b", 3));
  ASSERT_NE(store.find("1", "a"), nullptr);
  EXPECT_EQ(store.find("1", "a")->body.size(), 2u);
  ASSERT_NE(store.find("1", "b"), nullptr);
  EXPECT_EQ(store.find("1", "b")->body.size(), 3u);
}

}  // namespace
}  // namespace polymath::api
