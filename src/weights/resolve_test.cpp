#include <cstdlib>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weights/checkpoint.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

constexpr const char* kSettings[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"};

// A test sees only the variables that it sets. TearDown() restores the others.
class Resolve : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kSettings) {
      const char* value = std::getenv(name);
      before_.emplace_back(value == nullptr ? std::nullopt : std::optional<std::string>(value));
      unsetenv(name);
    }
  }
  void TearDown() override {
    for (size_t i = 0; i < std::size(kSettings); ++i) {
      before_[i] ? setenv(kSettings[i], before_[i]->c_str(), 1) : unsetenv(kSettings[i]);
    }
  }
  // A model in the cache at `cache`; returns its snapshot.
  std::string add(const std::string& cache, const std::string& folder, const std::string& commit = "c0ffee") {
    directory_.write(cache + "/" + folder + "/refs/main", commit + "\n");
    directory_.write(cache + "/" + folder + "/snapshots/" + commit + "/config.json", "{}");
    return directory_.at(cache + "/" + folder + "/snapshots/" + commit);
  }

  TemporaryDirectory directory_;
  std::vector<std::optional<std::string>> before_;
};

TEST_F(Resolve, EverySettingOfTheCache) {
  const std::pair<const char*, std::string> below[] = {{"HF_HUB_CACHE", ""},
                                                       {"HUGGINGFACE_HUB_CACHE", ""},
                                                       {"HF_HOME", "/hub"},
                                                       {"XDG_CACHE_HOME", "/huggingface/hub"},
                                                       {"HOME", "/.cache/huggingface/hub"}};
  for (const auto& [name, path] : below) {
    SCOPED_TRACE(name);
    const std::string snapshot = add(std::string(name) + path, "models--org--m-1.5_B");
    setenv(name, directory_.at(name).c_str(), 1);
    const auto found = resolve_model("org/m-1.5_B", "");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, snapshot);
    unsetenv(name);
  }
}

TEST_F(Resolve, TheFirstCacheThatHasItWins) {
  add("second", "models--org--m");
  setenv("HF_HUB_CACHE", directory_.at("first").c_str(), 1);
  setenv("HUGGINGFACE_HUB_CACHE", directory_.at("second").c_str(), 1);
  EXPECT_THAT(*resolve_model("org/m", "main"), HasSubstr("/second/"));
  add("first", "models--org--m");
  EXPECT_THAT(*resolve_model("org/m", "main"), HasSubstr("/first/"));
}

TEST_F(Resolve, Revisions) {
  setenv("HF_HUB_CACHE", directory_.at("hub").c_str(), 1);
  add("hub", "models--org--m");
  directory_.write("hub/models--org--m/refs/v2", "abc123");
  directory_.write("hub/models--org--m/snapshots/abc123/config.json", "{}");
  EXPECT_THAT(*resolve_model("org/m", ""), HasSubstr("/snapshots/c0ffee"));
  EXPECT_THAT(*resolve_model("org/m", "v2"), HasSubstr("/snapshots/abc123"));
  EXPECT_THAT(*resolve_model("org/m", "abc123"), HasSubstr("/snapshots/abc123"));  // a commit itself
  EXPECT_EQ(resolve_model("org/m", "v3").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(resolve_model("org/m", "../../x").status().code(), StatusCode::kInvalidArgument);
  directory_.write("hub/models--org--m/refs/bad", "../../../outside");
  directory_.write("outside/config.json", "{}");
  EXPECT_EQ(resolve_model("org/m", "bad").status().code(), StatusCode::kNotFound);
}

TEST_F(Resolve, NotFoundSaysWhereItLookedAndWhatToDo) {
  setenv("HF_HUB_CACHE", directory_.at("hub").c_str(), 1);
  setenv("HOME", directory_.at("home").c_str(), 1);
  const auto status = resolve_model("org/m", "v1").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  for (const std::string& part : {directory_.at("hub/models--org--m/snapshots/v1"),
                                  directory_.at("home/.cache/huggingface/hub/models--org--m/snapshots/v1"),
                                  std::string("polymath pull org/m --revision v1")}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
}

TEST_F(Resolve, QuantisationsOfAGgufRepository) {
  setenv("HF_HUB_CACHE", directory_.at("hub").c_str(), 1);
  const std::string snapshot = add("hub", "models--org--m");
  for (const char* name : {"m-Q4_K_M.gguf", "Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf",
                           "a-Q2_K.gguf", "b.q2_k.gguf"}) {
    directory_.write("hub/models--org--m/snapshots/c0ffee/" + std::string(name), "x");
  }
  EXPECT_EQ(*resolve_model("org/m:q4_k_m", ""), snapshot + "/m-Q4_K_M.gguf");
  EXPECT_EQ(*resolve_model("org/m:Q8_0", ""), snapshot + "/Q8_0/m-Q8_0-00001-of-00002.gguf");
  EXPECT_EQ(resolve_model("org/m:4_K_M", "").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(resolve_model("org/m:Q2_K", "").status().code(), StatusCode::kInvalidArgument);
  const auto missing = resolve_model("org/m:Q6_K", "").status();
  EXPECT_THAT(std::string(missing.message()), HasSubstr("polymath pull org/m:Q6_K"));
}

TEST_F(Resolve, PathsThatExist) {
  directory_.write("model/config.json", "{}");
  EXPECT_EQ(*resolve_model(directory_.at("model"), ""), directory_.at("model"));
  directory_.write("m.gguf", "x");
  EXPECT_EQ(*resolve_model(directory_.at("m.gguf"), ""), directory_.at("m.gguf"));
  const std::tuple<const char*, StatusCode, const char*> files[] = {
      {"m.bin", StatusCode::kFailedPrecondition, "convert the model to safetensors"},
      {"m.pt", StatusCode::kFailedPrecondition, "pickle"},
      {"m.safetensors", StatusCode::kInvalidArgument, "give the model's directory"},
  };
  for (const auto& [name, code, message] : files) {
    directory_.write(name, "x");
    const auto status = resolve_model(directory_.at(name), "").status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST_F(Resolve, NamesThatAreNone) {
  setenv("HF_HUB_CACHE", directory_.at("hub").c_str(), 1);
  directory_.write("hub/models--..--x/snapshots/main/config.json", "{}");
  for (const char* name : {"", "../none", "a/b/c", "org/", "/org", "org/..", "../x", "o rg/m", "org/m\n", "org/a..b"}) {
    const auto status = resolve_model(name, "").status();
    EXPECT_TRUE(status.code() == StatusCode::kNotFound || status.code() == StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("polymath pull"))) << name;
  }
  EXPECT_FALSE(resolve_model(std::string_view("a\0b", 3), "").ok());
}

}  // namespace
}  // namespace polymath::weights
