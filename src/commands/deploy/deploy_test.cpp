// What `deploy` renders: the examples of the repository, and the refusals.

#include "commands/deploy/deploy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "commands/deploy/check/check.h"
#include "commands/deploy/workload.h"
#include "commands/deploy/yaml/yaml.h"

namespace polymath::commands {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

// Splits at blanks; '...' is one word.
Words words_of_command(const std::string& line) {
  Words out;
  for (size_t at = 0; at < line.size();) {
    const bool quoted = line[at] == '\'';
    const size_t end = std::min(line.find(quoted ? '\'' : ' ', at + 1), line.size());
    out.push_back(quoted ? line.substr(at + 1, end - at - 1) : line.substr(at, end - at));
    at = line.find_first_not_of(' ', end + (quoted ? 1 : 0));
  }
  return out;
}

std::map<std::string, std::string> examples() {
  std::map<std::string, std::string> out;
  const std::string folder = std::string(POLYMATH_SOURCE_DIR) + "/deploy/kubernetes/examples";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    out[entry.path().filename()] = text.str();
  }
  return out;
}

TEST(Deploy, RendersTheExamples) {
  const auto all = examples();
  EXPECT_GE(all.size(), 5u);
  for (const auto& [name, text] : all) {
    SCOPED_TRACE(name);
    constexpr std::string_view kHead = "# polymath deploy ";
    ASSERT_TRUE(text.starts_with(kHead));
    const auto rendered = deploy_text(words_of_command(text.substr(kHead.size(), text.find('\n') - kHead.size())));
    ASSERT_TRUE(rendered.ok()) << rendered.status();
    EXPECT_EQ(*rendered, text);
  }
}

TEST(Deploy, ExamplesHaveNoFaults) {
  std::vector<ManifestFile> files;
  for (const auto& [name, text] : examples()) files.push_back({name, text});
  const auto report = check_manifests(files, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->n_unknown, 0u);
  EXPECT_THAT(report->complaints, testing::IsEmpty());
}

TEST(Deploy, RefusesWhatCannotRun) {
  struct Case {
    Words arguments;
    const char* error;
  };
  const Case cases[] = {
      {{"mixtral-8x7b", "--instance", "trn2.48xlarge"}, "no kernels for Trainium2"},
      {{"mixtral-8x7b", "--instance", "p4d.24xlarge"}, "CUDA needs a Hopper GPU"},
      {{"deepseek-v3", "--instance", "p5.48xlarge"}, "several hosts with GPUs are not built yet"},
      {{"mixtral-8x22b", "--instance", "p5.48xlarge", "-tp", "2"}, "do not hold the model"},
      {{"mixtral-8x7b", "--", "--max-model-length", "5"}, "there is no flag --max-model-length"},
      {{"mixtral-8x7b", "--", "--port", "8001"}, "two fixed ports"},
      {{"mixtral-8x7b", "--name", "Mixtral"}, "lower-case"},
      {{"mixtral-8x7b", "--route-prefix", "v1/x"}, "must begin with /"},
      {{"mixtral-8x7b", "--image", "a b"}, "must be letters"},
      {{"mixtral-8x7b", "--repository", "nothing"}, "org/name"},
      {{"mixtral-8x7b", "--instance", "p5.48xlarge", "--", "-dp", "8"}, "GPUs are more than p5.48xlarge has"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.arguments[0], " ", c.arguments.back()));
    EXPECT_THAT(std::string(deploy_text(c.arguments).status().message()), HasSubstr(c.error));
  }
}

TEST(Deploy, ChoosesTheCheapestHostThatHoldsTheModel) {
  const auto text = deploy_text({"mixtral-8x7b"});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("node.kubernetes.io/instance-type: p5"));
  EXPECT_THAT(*text, HasSubstr("name: mixtral-8x7b-v0-1\n"));
}

// Probes wait for the measured load, and grace exceeds the drain.
TEST(Deploy, FollowsItsFigures) {
  const auto text = deploy_text(
      {"mixtral-8x7b", "--instance", "p5.48xlarge", "--load-seconds", "1000", "--", "--shutdown-timeout", "300"});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("failureThreshold: 204\n"));  // 2 x 1000 s in whole minutes, by 10 s
  EXPECT_THAT(*text, HasSubstr("terminationGracePeriodSeconds: 330\n"));
  EXPECT_THAT(*text, HasSubstr("- \"--shutdown-timeout\"\n            - \"300\"\n"));
  EXPECT_THAT(*text, HasSubstr("# loads in 1,000 s, as measured\n"));
}

TEST(Deploy, NamesObjects) {
  EXPECT_EQ(object_name("mistralai/Mixtral-8x7B-v0.1"), "mixtral-8x7b-v0-1");
  EXPECT_EQ(object_name("x/01-model_"), "m01-model");
  EXPECT_EQ(object_name("x/" + std::string(80, 'a')), std::string(50, 'a'));
}

}  // namespace
}  // namespace polymath::commands
