#include "api/openai/answer.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

TEST(OpenAiAnswer, ModelsListNamesThenAdapters) {
  ServedModel model;
  model.names = {"base", "alias"};
  model.root = "/m";
  model.model_len_max = 64;
  model.adapters = {{"capitals", "/a", "base"}};
  const auto entry = [](const char* id, const char* root, const char* parent) {
    return absl::StrCat(R"({"id":")", id, R"(","object":"model","created":9,"owned_by":"polymath","root":")", root,
                        R"(","parent":)", parent, R"(,"max_model_len":64,"permission":[]})");
  };
  EXPECT_EQ(models_answer(model, 9),
            absl::StrCat(R"({"object":"list","data":[)", entry("base", "/m", "null"), ",", entry("alias", "/m", "null"),
                         ",", entry("capitals", "/a", R"("base")"), "]}"));
}

}  // namespace
}  // namespace polymath::api
