// config.json as the world writes it. Each conformance model runs with one key of its config dropped, made null,
// renamed or moved, as tools/make_config_mutations.py did it with transformers: Polymath computes the same logits, or
// it refuses the config. data/config_keys.txt lists what becomes of every key.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "model/architecture.h"
#include "model/load.h"
#include "runner.h"

namespace polymath::conformance {
namespace {

using base::JsonObject;
using base::JsonValue;

constexpr float kTolerance = 1e-3f;

std::string data(const std::string& name) { return model_directory("../" + name); }

JsonObject config_of(const std::string& model) {
  return base::read_json_file(model_directory(model) + "/config.json", {})->get_object();
}

// Takes `key` out of its place and puts it back as `kind` says; make_config_mutations.py has the same.
JsonObject mutate(JsonObject config, const std::string& kind, const std::string& path) {
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  JsonObject& place = parts.size() > 1 ? config.at(parts[0]).get_object() : config;
  const std::string key = parts.back();
  const JsonValue value = place.at(key);
  if (kind == "null") {
    place[key] = nullptr;
    return config;
  }
  place.erase(key);
  if (kind == "rename") place[key + "_x"] = value;
  if (kind.starts_with("as:")) place[kind.substr(3)] = value;
  if (kind == "nest") config["rope_parameters"].get_object()[key] = value;
  if (kind == "lift") config[key] = value;
  if (kind == "old") config["rope_scaling"] = value;
  if (kind == "split") {
    JsonObject scaling = value.get_object();
    for (const char* part : {"rope_theta", "partial_rotary_factor"}) {
      if (!scaling.contains(part)) continue;
      config[part] = scaling.at(part);
      scaling.erase(part);
    }
    config["rope_scaling"] = scaling;
  }
  if (kind == "by_type") {
    config["rope_parameters"] = JsonObject{{"full_attention", value}, {"sliding_attention", value}};
  }
  return config;
}

// The last row's logits of a prompt, or why the config was refused.
absl::StatusOr<std::vector<float>> run(const std::string& model, const JsonObject& config, const Reference& r) {
  ASSIGN_OR_RETURN(const model::ModelConfig parsed, model::parse_config(config));
  ASSIGN_OR_RETURN(const auto checkpoint, weights::open_checkpoint(model_directory(model), {}));
  ASSIGN_OR_RETURN(const auto runner, Runner::create(parsed, *checkpoint, {.backend = "cpu", .threads = 1}));
  Runner::Sequence sequence{r.ids};
  ASSIGN_OR_RETURN(const auto logits, runner->step({&sequence}, 0));
  return std::vector<float>(logits.end() - runner->vocab(), logits.end());
}

bool close(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) < kTolerance)) return false;
  }
  return true;
}

// Whether the logits are those that transformers had: [argmax, five of them], "same" or "error".
bool as_recorded(const std::vector<float>& got, const std::vector<float>& unchanged, const JsonValue& recorded) {
  if (recorded.is_string()) return close(got, unchanged);  // after an error of transformers, only this is not wrong
  const auto& row = recorded.get_array();
  for (size_t i = 0; i + 1 < row.size(); ++i) {
    const size_t at = i * (got.size() - 1) / (row.size() - 2);
    if (!(std::abs(got[at] - row[i + 1].to_number<float>()) < kTolerance)) return false;
  }
  return true;
}

class Mutations : public testing::TestWithParam<std::string> {};

TEST_P(Mutations, AreEqualOrRefused) {
  const auto all = base::read_json_file(data("config_mutations.json"), {});
  ASSERT_TRUE(all.ok()) << all.status();
  const std::string model = GetParam();
  const JsonObject config = config_of(model);
  const Reference r = read_references(model, static_cast<int>(config.at("vocab_size").as_int64()))->at(2);
  const auto unchanged = run(model, config, r);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  int equal = 0, refused = 0;
  for (const auto& [key, kinds] : all->at(model).get_object()) {
    for (const auto& [kind, recorded] : kinds.get_object()) {
      const auto got = run(model, mutate(config, std::string(kind), std::string(key)), r);
      ++(got.ok() ? equal : refused);
      EXPECT_TRUE(!got.ok() || as_recorded(*got, *unchanged, recorded))
          << std::string(kind) << " " << std::string(key) << ": transformers has " << base::to_text(recorded);
      if (std::getenv("POLYMATH_SHOW_REFUSED") != nullptr && !got.ok()) {
        std::cout << model << " " << kind << " " << key << " (" << base::to_text(recorded) << "): " << got.status()
                  << "\n";
      }
    }
  }
  RecordProperty("equal", equal);
  RecordProperty("refused", refused);
  EXPECT_GT(equal, refused / 2);
}

std::vector<std::string> recorded_models() {
  std::vector<std::string> names;
  const auto all = base::read_json_file(data("config_mutations.json"), {});
  if (!all.ok()) return names;
  for (const auto& member : all->get_object()) names.emplace_back(member.key());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, Mutations, testing::ValuesIn(recorded_models()), [](const auto& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

// A directory of checkpoints with reference.json beside, which the repository does not have.
TEST(Cases, AgreeWithTheirReferences) {
  const char* directory = std::getenv("POLYMATH_CHECKPOINT_CASES");
  if (directory == nullptr) GTEST_SKIP() << "POLYMATH_CHECKPOINT_CASES names none";
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const auto cases = base::read_json_file(entry.path().string() + "/reference.json", {});
    if (!cases.ok()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    auto runner = Runner::create(entry.path(), {.backend = "cpu", .threads = 1});
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (!runner.ok()) continue;
    for (const auto& c : cases->get_array()) {
      base::JsonReader j(c);
      Runner::Sequence sequence{j.ints("ids")};
      const auto greedy = j.ints("greedy");
      const auto margin = j.numbers("margin");
      for (size_t n = 0; n < greedy.size(); ++n) {
        const auto rows = (*runner)->step({&sequence}, 0);
        ASSERT_TRUE(rows.ok()) << rows.status();
        const auto row = rows->end() - (*runner)->vocab();
        const int token = static_cast<int>(std::max_element(row, rows->end()) - row);
        if (margin[n] < kTolerance) break;
        EXPECT_EQ(token, greedy[n]) << "step " << n;
        if (token != greedy[n]) break;
        sequence.tokens.push_back(token);
      }
    }
  }
}

}  // namespace
}  // namespace polymath::conformance
